"""Children that crash, hang, eat and flood, and a fork server that is lost."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.errors import (
    DocumentTooLargeError,
    OverloadedError,
    ParserLostError,
    ParserUnavailableError,
    QuarryError,
    UnreadableDocumentError,
)
from service.ingest.parsing.fork_server_process import ForkServerProcess
from service.ingest.parsing.kept_fork_server import KeptForkServer
from service.ingest.parsing.readiness import readable

MIB = 1 << 20
PATIENCE_S = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Poll, for nobody announces it."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("deed", "limits", "error", "said"),
    [
        ("crash", {}, UnreadableDocumentError, "its parser crashed, killed by SIGSEGV"),
        ("raise oh", {}, UnreadableDocumentError, "KeyError: 'oh'"),
        ("recurse", {}, UnreadableDocumentError, "nested too deeply"),
        ("exit 3", {}, ParserLostError, "exit code 3"),
        ("hang", {"seconds": 0.5}, DocumentTooLargeError, r"takes longer than 0.5 s to read \(parsing.seconds\)"),
        ("spin", {"cpu_seconds": 1}, DocumentTooLargeError, r"more than 1 s to compute \(parsing.cpu_seconds\)"),
        ("eat", {"memory_bytes": 64 * MIB}, DocumentTooLargeError, r"67108864 bytes to read \(parsing.memory_bytes\)"),
        ("flood", {"characters": 1000}, UnreadableDocumentError, "said more than"),
        ("say garbage\n", {}, UnreadableDocumentError, "does not keep to the protocol"),
        ("say [1]\n", {}, UnreadableDocumentError, r"a parser process said '\[1\]'"),
        ('say {"exit": 0}\n', {}, ParserLostError, "exit code 0"),
        ('say {"title": "t", "format": "text", "bytes": 9}\nfew', {}, UnreadableDocumentError, "protocol"),
        ('say {"title": "t", "format": "wrong", "bytes": 0}\n', {}, UnreadableDocumentError, "said"),
        ('say {"title": "t", "format": "text", "bytes": -9}\n', {}, UnreadableDocumentError, "'bytes': -9"),
        ('repeat {"started": true}\n', {}, UnreadableDocumentError, "more than 3 lines"),
        ("repeat [", {}, UnreadableDocumentError, "without an end within 16384 bytes"),
    ],
)
def test_what_a_child_does_costs_its_own_file_alone(
    hostile: Any,  # noqa: ANN401
    deed: str,
    limits: dict[str, Any],
    error: type[QuarryError],
    said: str,
) -> None:
    pid = hostile.pid
    parsers = hostile.parsers(**limits)

    async def beside() -> tuple[object, ...]:
        calm = [parsers.parse("a.txt", hostile.raw(b"calm %d" % number)) for number in range(4)]
        return await asyncio.gather(parsers.parse("a.txt", hostile.raw(deed.encode())), *calm, return_exceptions=True)

    before, descriptors = psutil.Process().memory_info().rss, len(os.listdir("/proc/self/fd"))
    failure, *others = hostile.run(beside)
    assert isinstance(failure, error), failure
    with pytest.raises(error, match=said):
        raise failure
    assert [loaded.text for loaded in others] == [f"calm {number}" for number in range(4)]
    assert (hostile.pid, hostile.children()) == (pid, [])
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert psutil.Process().memory_info().rss < before + 64 * MIB


def test_a_child_killed_from_outside_may_be_tried_again(hostile: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        server = await hostile.kept.running()
        task = asyncio.create_task(hostile.parsers().parse("a.txt", hostile.raw(b"hang")))
        await until(lambda: children(server.pid))
        os.kill(children(server.pid)[0], signal.SIGKILL)
        with pytest.raises(ParserLostError, match="killed by SIGKILL"):
            await task

    hostile.run(scenario)


def test_cancelling_kills_the_child(hostile: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        server, parsers = await hostile.kept.running(), hostile.parsers(processes=1)
        descriptors = len(os.listdir("/proc/self/fd"))
        for moment in range(6):
            task = asyncio.create_task(parsers.parse("a.txt", hostile.raw(b"hang")))
            if moment % 2:
                await until(lambda: children(server.pid))
            else:
                for _ in range(moment * 3):
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: not children(server.pid))
        assert parsers.describe()["running"] == 0
        await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        assert (await parsers.parse("a.txt", hostile.raw(b"calm"))).text == "calm"

    hostile.run(scenario)


def test_no_more_run_than_may_and_no_more_wait_than_may(hostile: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        server, parsers = await hostile.kept.running(), hostile.parsers(processes=2, max_queued=3)
        tasks = [asyncio.create_task(parsers.parse("a.txt", hostile.raw(b"hang"))) for _ in range(2)]
        await until(lambda: len(children(server.pid)) == 2)
        tasks += [asyncio.create_task(parsers.parse("a.txt", hostile.raw(b"hang"))) for _ in range(3)]
        await until(lambda: parsers.describe()["queued"] == 3)
        with pytest.raises(OverloadedError, match="3 files wait to be parsed; the limit is 3"):
            await parsers.parse("a.txt", hostile.raw(b"calm"))
        assert len(children(server.pid)) == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not children(server.pid))

    hostile.run(scenario)


def test_a_lost_fork_server_takes_its_children_along_and_is_started_again(own_hostile: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        first = (await own_hostile.kept.running()).pid
        parsers = own_hostile.parsers()
        task = asyncio.create_task(parsers.parse("a.txt", own_hostile.raw(b"hang")))
        await until(lambda: children(first))
        child = children(first)[0]
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ParserLostError, match="with its fork server"):
            await task
        await until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")
        assert (await parsers.parse("a.txt", own_hostile.raw(b"calm"))).text == "calm"
        assert (await own_hostile.kept.running()).pid != first

    own_hostile.run(scenario)


def test_one_that_cannot_be_started_is_tried_ever_later(tmp_path: Path) -> None:
    starts = []

    def start() -> ForkServerProcess:
        starts.append(time.monotonic())
        return ForkServerProcess("no_such_module")

    async def scenario() -> None:
        async with KeptForkServer(start=start) as kept:
            for _ in range(2):
                with pytest.raises(ParserUnavailableError, match="ended while it started"):
                    await kept.running()
            for _ in range(100):
                with pytest.raises(ParserUnavailableError, match="is not started for another"):
                    await kept.running()
            assert kept.describe()["fork_server"] is None

    asyncio.run(scenario())
    assert len(starts) == 2


def test_the_fork_server_ends_with_its_socket() -> None:
    process = ForkServerProcess()

    async def scenario() -> None:
        await process.hello()
        assert process.is_running
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)

    asyncio.run(scenario())
    assert process.is_running, "signals to the whole group are not for it"
    process.close()
    assert not process.is_running
    assert process._process.returncode == 0


@pytest.mark.parametrize("is_loaded", [False, True])
def test_one_that_nobody_has_greeted_ends_silently(is_loaded: bool, capfd: pytest.CaptureFixture[str]) -> None:
    process = ForkServerProcess()
    if is_loaded:
        asyncio.run(readable(process._control))
    process.close()
    assert process._process.returncode == 0
    assert capfd.readouterr().err == ""
