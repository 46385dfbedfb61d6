"""Feeds: one file per log format, each ending in ``SOURCE = <its class>``."""
