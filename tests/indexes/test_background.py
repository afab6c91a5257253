import os
import threading
from concurrent.futures import ThreadPoolExecutor

import faiss

from indexes.background import work_in_the_background


def state() -> tuple[int, int]:
    return faiss.omp_get_max_threads(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_only_the_calling_thread_stands_back() -> None:
    before = state()
    with ThreadPoolExecutor(1, initializer=work_in_the_background) as background:
        threads, niceness = background.submit(state).result()
    assert threads == max(1, len(os.sched_getaffinity(0)) // 2)
    assert niceness > before[1]
    assert state() == before
