"""Settings of the property tests: no deadline per example, since other work may share the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("dsmil", deadline=None, print_blob=True)
settings.load_profile("dsmil")
