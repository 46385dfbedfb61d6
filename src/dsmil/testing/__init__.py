"""Tools for testing your own feeds and detectors; shipped with the product, used by its own tests."""
