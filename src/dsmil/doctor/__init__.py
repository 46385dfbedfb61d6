"""``dsmil doctor``: facts are collected once, pure checks judge them, little is mended by itself."""
