"""Parts of the score card: one file each, ending in ``PART``, found by scanning this folder."""
