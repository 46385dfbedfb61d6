"""Documented path of dsmil.services.soc_router: an alias, and the program the documented unit starts."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
if __name__ == "__main__":
    # This file's own folder holds no module that may be imported by its bare name.
    sys.path.remove(str(Path(__file__).resolve().parent))

    from _checkout import use_own_environment

    use_own_environment()

from dsmil.services import soc_router

if __name__ == "__main__":
    raise SystemExit(soc_router.main(sys.argv[1:]))
sys.modules[__name__] = soc_router
