"""Analytics: one file each, ending in ``SCORER``, found by scanning this folder."""
