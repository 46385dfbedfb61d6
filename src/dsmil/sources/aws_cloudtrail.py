"""AWS CloudTrail: delivered log files (one object around ``Records``), one record a line, or one array.

Source: the AWS CloudTrail User Guide, "CloudTrail record contents".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.events.model import EventCategory
from dsmil.sources._feed import Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Mapping, Take, require

if TYPE_CHECKING:
    from dsmil.sources._feed import Joiner, Parsed

#: Services whose calls are about who somebody is.
_IDENTITY: Final = frozenset(
    f"{name}.amazonaws.com" for name in ("signin", "sts", "iam", "sso", "sso-directory", "cognito-idp")
)


class AwsCloudTrail(Source):
    """One API call, one event; the payload is the record itself."""

    name: ClassVar[str] = "aws-cloudtrail"
    source: ClassVar[str] = "cloudtrail"
    device_id: ClassVar[int] = 11
    json_array: ClassVar[bool] = True
    array_key: ClassVar[str] = "Records"
    mapping: ClassVar[Mapping] = Mapping(
        time=("eventTime", "@timestamp"),
        entities=(
            Take("sourceIPAddress", "ip", "src"),
            Take("userIdentity.userName", "user", "src"),
            Take("userIdentity.arn", "user", "src"),
            Take("userIdentity.sessionContext.sessionIssuer.userName", "user", "src"),
            Take("userIdentity.accessKeyId", "key", "src"),
            Take("userIdentity.accountId", "account", "src"),
            Take("recipientAccountId", "account", "dest"),
            Take("eventSource", "host", "dest"),
            Take("resources.ARN", "resource", "dest"),
            Take("requestParameters.userName", "user", "dest"),
            Take("requestParameters.bucketName", "resource", "dest"),
        ),
        category=EventCategory.SYSTEM,
        notes="category `AUTH` for the services signin, sts, iam, sso, sso-directory and cognito-idp",
    )

    def joiner(self) -> Joiner:
        """Return what parts log files into records."""
        return JsonDocuments(self.array_key)

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an API call; a call is no judgement."""
        require(record, "not_cloudtrail", "eventName", "eventSource")
        if record["eventSource"] in _IDENTITY:
            return self.mapping.apply(record, category=EventCategory.AUTH)
        return self.mapping.apply(record)


SOURCE = AwsCloudTrail
