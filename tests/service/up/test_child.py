"""A process from its start to its end."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.up.child import Child, Exit, Launch

Running = Callable[[int], bool]
PATIENCE_S = 200.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def launched(program: str, output: int | None = None) -> Child:
    return Child(Launch([sys.executable, "-c", program], dict(os.environ), output))


def test_how_it_ended_is_said() -> None:
    async def scenario() -> None:
        assert str(await launched("import sys; sys.exit(3)").exited()) == "exit code 3"
        assert str(await launched("import os; os.kill(os.getpid(), 9)").exited()) == "killed by SIGKILL"
        assert str(Exit(-63)).startswith("killed by signal")

    run(scenario())


def test_what_it_leaves_behind_is_killed_when_it_ends(running: Running) -> None:
    read, write = os.pipe()
    program = "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"

    async def scenario() -> None:
        assert (await launched(program, output=write).exited()).code == 0
        os.close(write)
        assert not running(int(os.read(read, 100)))

    run(scenario())
    os.close(read)


@pytest.mark.parametrize("hurried", [False, True])
def test_one_that_does_not_end_is_killed(hurried: bool) -> None:
    program = "import signal; signal.signal(15, lambda *_: None); print(1, flush=True)\nwhile True: signal.pause()"
    read, write = os.pipe()

    async def scenario() -> None:
        child, hurry = launched(program, output=write), asyncio.Event()
        await asyncio.to_thread(os.read, read, 1)
        ending = asyncio.create_task(child.end(1000.0 if hurried else 0.1, hurry))
        if hurried:
            hurry.set()
        assert not await ending
        assert (await child.exited()).code == -9

    run(scenario())
    os.close(read)
    os.close(write)


def test_an_end_by_itself_is_told_from_a_kill() -> None:
    async def scenario() -> None:
        assert await launched("import time; time.sleep(1000)").end(PATIENCE_S, asyncio.Event())

    run(scenario())


def test_an_executable_that_is_not_there() -> None:
    async def scenario() -> None:
        with pytest.raises(FileNotFoundError):
            Child(Launch(["/nowhere/vllm"], {}))

    run(scenario())
