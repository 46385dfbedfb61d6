"""Correlators of Layer 4: one file each, ending in ``CORRELATOR = <its class>``; found by scanning this folder."""
