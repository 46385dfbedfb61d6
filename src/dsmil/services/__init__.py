"""Long-running parts of the fabric, and the runner that all of them use."""
