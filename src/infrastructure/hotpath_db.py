"""Documented path of dsmil.infrastructure.hotpath_db: an alias, so that there is one class of each name."""

import sys

from dsmil.infrastructure import hotpath_db

sys.modules[__name__] = hotpath_db
