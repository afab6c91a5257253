"""Counting on a thread, while the event loop goes on."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from service.generation.tokens import LocalTokens, Messages

PATIENCE_S = 200.0
MESSAGES = [{"role": "user", "content": "Why?"}]


def test_the_loop_goes_on_while_a_thread_counts() -> None:
    begun, go_on = threading.Event(), threading.Event()
    counted_on: list[str] = []

    def slowly(messages: Messages) -> int:
        counted_on.append(threading.current_thread().name)
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return len(messages)

    async def scenario() -> int:
        with ThreadPoolExecutor(1, thread_name_prefix="counting") as threads:
            count = asyncio.create_task(LocalTokens(slowly, threads).count(MESSAGES))
            assert await asyncio.to_thread(begun.wait, PATIENCE_S)
            assert not count.done()
            go_on.set()
            return await count

    assert asyncio.run(scenario()) == 1
    assert counted_on == ["counting_0"]
