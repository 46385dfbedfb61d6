"""``dsmil doctor``: facts are collected once, checks judge them without effects, and little is mended by itself."""
