"""One family of checks per file, each ending in ``CHECK = Check(...)``."""
