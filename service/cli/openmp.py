"""How OpenMP's workers wait, which must be said before anything loads its library."""

import os

# Turns of libgomp's waiting loop before a worker sleeps. Its default, some 300,000, keeps a core busy through every
# pause; where anything else wants that core, each hand-over then costs a time slice.
_SPIN_COUNT = "1000"
_SPIN_VARIABLE = "GOMP_SPINCOUNT"
_POLICY_VARIABLE = "OMP_WAIT_POLICY"


def share_the_cores() -> None:
    """Let workers sleep soon, unless the environment says how they should wait. Call it before torch is imported."""
    if _POLICY_VARIABLE not in os.environ:
        os.environ.setdefault(_SPIN_VARIABLE, _SPIN_COUNT)
