"""Documented path of dsmil.infrastructure.redis_streams: an alias, so that there is one class of each name."""

import sys

from dsmil.infrastructure import redis_streams

sys.modules[__name__] = redis_streams
