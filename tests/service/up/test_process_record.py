"""Who is ended by a record, and who is not."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.up.child import Child, Launch
from service.up.process_record import ProcessRecord
from service.up.process_session import start_time

Start = Callable[..., "subprocess.Popen[str]"]
Running = Callable[[int], bool]

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)"
PLAIN = "import time; print('up', flush=True); time.sleep(1000)"
FAMILY = (
    "import subprocess, time; child = subprocess.Popen(['sleep', '1000']); print(child.pid, flush=True); "
    "time.sleep(1000)"
)


@pytest.fixture
def start() -> Iterator[Start]:
    """(program) -> a process in a session of its own that has said its first line, which is its `said`."""
    with ExitStack() as stack:

        def started(program: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-c", program]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout
            process.said = process.stdout.readline().strip()  # type: ignore[attr-defined]
            return process

        yield started


def record_of(path: Path, pid: int, started: str | None) -> ProcessRecord:
    path.write_text(json.dumps({"pid": pid, "started": started}))
    return ProcessRecord(path)


def test_the_recorded_process_is_ended_with_all_it_brought(tmp_path: Path, start: Start, running: Running) -> None:
    process = start(FAMILY)
    record = record_of(tmp_path / "a", process.pid, start_time(process.pid))
    assert record.end_left_over(5.0)
    assert process.wait(20) != 0
    assert not running(int(process.said))  # type: ignore[attr-defined]
    assert not record.path.exists()


def test_one_that_does_not_listen_is_killed(tmp_path: Path, start: Start) -> None:
    process = start(DEAF)
    assert record_of(tmp_path / "a", process.pid, start_time(process.pid)).end_left_over(0.2)
    assert process.wait(20) == -9


def test_another_process_of_the_same_id_is_left_alone(tmp_path: Path, start: Start) -> None:
    process = start(PLAIN)
    boot, _, ticks = str(start_time(process.pid)).partition(":")
    for other in (f"{boot}:{int(ticks) - 1}", f"another boot:{ticks}", ""):
        record = record_of(tmp_path / "a", process.pid, other)
        assert not record.end_left_over(5.0)
        assert not record.path.exists()
    assert process.poll() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": -1, "started": "x"}', '{"pid": "1", "started": 1}'])
def test_what_is_no_record_ends_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    assert not ProcessRecord(tmp_path / "a").end_left_over(5.0)


def test_a_process_that_has_gone_is_no_error(tmp_path: Path, start: Start) -> None:
    process = start(PLAIN)
    started = start_time(process.pid)
    process.kill()
    process.wait()
    assert not record_of(tmp_path / "a", process.pid, started).end_left_over(5.0)
    assert not ProcessRecord(tmp_path / "none").end_left_over(5.0)


def test_what_a_parent_writes_the_next_one_understands(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(Launch([sys.executable, "-c", PLAIN], {}))
        record = ProcessRecord(tmp_path / "a")
        record.write(child)
        assert await asyncio.to_thread(record.end_left_over, 5.0)
        assert (await child.exited()).code == -15

    asyncio.run(asyncio.wait_for(scenario(), 300))
