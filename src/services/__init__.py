"""Documented path of dsmil.services: aliases, no code."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
