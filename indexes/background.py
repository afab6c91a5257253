"""How a thread that builds indexes leaves room for those that answer."""

import os
import threading
from contextlib import suppress

import faiss

# Of nice(2): such a thread gets a thirtieth of a core that others want, and a quarter of one that forwards want, which
# give way themselves.
_NICENESS = 15


def work_in_the_background() -> None:
    """Lower the calling thread's priority, and let FAISS build on half of the cores from it.

    A loop over all cores waits for its slowest one, and where a search holds that it is waited for by spinning.
    """
    faiss.omp_set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    with suppress(OSError, AttributeError):  # a limit, or not Linux: then it competes as everybody does
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
