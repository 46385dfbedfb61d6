"""``python -m dsmil``."""

from dsmil.cli import main

if __name__ == "__main__":
    main()
