"""How threads of this process share the cores and the interpreter."""

import gc
import os
import sys

# Turns of libgomp's waiting loop before a worker sleeps. Its default, some 300,000, keeps a core busy through every
# pause; where anything else wants that core, each hand-over then costs a time slice.
_SPIN_COUNT = "1000"
_SPIN_VARIABLE = "GOMP_SPINCOUNT"
_POLICY_VARIABLE = "OMP_WAIT_POLICY"
# What torch keeps of oneDNN's for each shape that a forward had, several megabytes each. Its default of 1,024 would be
# gigabytes once texts of all lengths have come in batches of all sizes.
_SHAPES = "256"
_SHAPES_VARIABLE = "LRU_CACHE_CAPACITY"
# A thread that runs Python gives the GIL up this often; the default of 5 ms would be added to every hand-over.
_SWITCH_INTERVAL_S = 1e-4


def share_the_cores() -> None:
    """Let OpenMP's workers sleep soon, unless the environment says how they should wait.

    To be called before anything loads OpenMP's library, as torch and FAISS do.
    """
    if _POLICY_VARIABLE not in os.environ:
        os.environ.setdefault(_SPIN_VARIABLE, _SPIN_COUNT)


def bound_shapes() -> None:
    """Let torch keep fewer shapes, unless the environment says how many; to be called before it is imported."""
    os.environ.setdefault(_SHAPES_VARIABLE, _SHAPES)


def settle_memory() -> None:
    """Take what is loaded by now out of the garbage collector's sight.

    Models and their libraries are millions of objects that stay. Walking them again in every full collection holds up
    all threads for hundreds of milliseconds, every few thousand requests.
    """
    gc.collect()
    gc.freeze()


def share_the_interpreter() -> None:
    """Let threads that wait for the GIL have it soon."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
