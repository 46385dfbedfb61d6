"""Layer 3: one detector per file, each ending in ``DETECTOR = <its class>``."""
