"""Who is ended by a record, and who is not."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.up.child import Child, Launch
from service.up.process_record import ProcessRecord
from service.up.process_session import MARK_VARIABLE, signal_process, start_time

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

    asyncio.run(asyncio.wait_for(scenario(), 60))


MARK = "of this start"
# Starts a process that outlives it, says which, and ends.
LEADER = (
    "import subprocess, sys; out = sys.stdout if {keeps_output} else subprocess.DEVNULL; "
    "env = None if {keeps_mark} else {{}}; "
    "child = subprocess.Popen(['/bin/sleep', '1000'], stdout=out, stderr=subprocess.DEVNULL, env=env); "
    "print(child.pid, flush=True)"
)


@pytest.fixture
def left_behind(tmp_path: Path) -> Iterator[Callable[..., tuple[ProcessRecord, int]]]:
    """(keeps_mark, keeps_output) -> the record of a leader that has ended, and its child, which has not."""
    children: list[int] = []

    def leave(*, keeps_mark: bool, keeps_output: bool) -> tuple[ProcessRecord, int]:
        output, path = tmp_path / "output.log", tmp_path / "a"
        program = LEADER.format(keeps_mark=keeps_mark, keeps_output=keeps_output)
        environment = {**os.environ, MARK_VARIABLE: MARK}
        with output.open("wb") as file:
            leader = subprocess.Popen(
                [sys.executable, "-c", program], stdout=file, env=environment, start_new_session=True
            )
        told = {"pid": leader.pid, "started": start_time(leader.pid), "mark": MARK, "output": str(output)}
        path.write_text(json.dumps(told))
        assert leader.wait(60) == 0
        children.append(int(output.read_text()))
        return ProcessRecord(path), children[-1]

    yield leave
    for child in children:
        signal_process(child, signal.SIGKILL)


@pytest.mark.parametrize(("keeps_mark", "keeps_output"), [(True, False), (False, True)])
def test_what_a_dead_leader_left_is_ended(
    left_behind: Callable[..., tuple[ProcessRecord, int]], running: Running, keeps_mark: bool, keeps_output: bool
) -> None:
    """One that sets its title has no environment to read any more, but still its output."""
    record, child = left_behind(keeps_mark=keeps_mark, keeps_output=keeps_output)
    assert running(child)
    assert record.end_left_over(5.0)
    assert not running(child)
    assert not record.path.exists()


def test_a_stranger_in_a_session_of_that_id_is_left_alone(
    left_behind: Callable[..., tuple[ProcessRecord, int]], running: Running
) -> None:
    record, child = left_behind(keeps_mark=False, keeps_output=False)
    assert not record.end_left_over(5.0)
    assert running(child)


def test_a_record_without_a_mark_ends_no_orphan(
    left_behind: Callable[..., tuple[ProcessRecord, int]], running: Running
) -> None:
    record, child = left_behind(keeps_mark=True, keeps_output=True)
    told = json.loads(record.path.read_text())
    record.path.write_text(json.dumps({name: told[name] for name in ("pid", "started")}))
    assert not record.end_left_over(5.0)
    assert running(child)
