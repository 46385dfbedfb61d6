"""DSMIL Fabric: a single-host-first SOC data fabric."""

__version__ = "0.1.0"
