"""How many connections there may be, and who has to go when one more comes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most connections of a listener, by default: each may hold one message that is not whole.
MAX_CONNECTIONS: Final = 1000


class Member(Protocol):
    """One connection."""

    #: Address without port, or ``local``.
    sender: str
    #: When it last sent anything, seconds of a clock that nobody sets.
    last_heard: float

    def evict(self) -> None:
        """Close the connection to make room."""
        ...


class Crowd:
    """The connections of one listener, and their senders' sessions. For one thread."""

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        """At most ``most`` connections at a time."""
        self._most = most
        #: In the order in which they came.
        self._members: dict[Member, None] = {}
        self._senders: Counter[str] = Counter()
        self._sessions: dict[str, int] = {}
        self._begun = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """Return all of them; the crowd may change meanwhile."""
        return iter(list(self._members))

    def join(self, member: Member) -> int:
        """Add a connection and return its sender's session; another one is evicted when there are too many.

        It is the longest silent one of the sender who has most: nobody keeps others out by holding connections.
        """
        if len(self._members) >= self._most:
            busiest = self._senders.most_common(1)[0][0]
            ours = (other for other in self._members if other.sender == busiest)
            victim = min(ours, key=lambda other: other.last_heard)
            self.leave(victim)
            victim.evict()
        self._members[member] = None
        self._senders[member.sender] += 1
        if member.sender not in self._sessions:
            self._begun += 1
            self._sessions[member.sender] = self._begun
        return self._sessions[member.sender]

    def leave(self, member: Member) -> None:
        """Take a connection out; its sender's session ends with its last one."""
        if member in self._members:
            del self._members[member]
            self._senders[member.sender] -= 1
            if not self._senders[member.sender]:
                del self._senders[member.sender], self._sessions[member.sender]
