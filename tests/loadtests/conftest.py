"""The load tests are no installed package: they are found from the root of the checkout, however pytest was started."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).parents[2])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)
