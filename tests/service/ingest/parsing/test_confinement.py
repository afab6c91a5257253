"""A parser that was taken over reaches nothing and nobody."""

import asyncio
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from service.ingest.parsing.confinement import landlock_version

HEAVY = {
    "torch",
    "faiss",
    "transformers",
    "sentence_transformers",
    "numpy",
    "asyncio",
    "pydantic",
    "fastapi",
    "indexes",
}
TCP_RULES = 4
SIGNAL_RULES = 6


def said(hostile: Any, deed: str) -> str:  # noqa: ANN401
    text: str = hostile.parse("deed.txt", deed.encode()).text
    return text


def _needs_landlock(version: int = 1) -> None:
    if landlock_version() < version:
        pytest.skip(f"Landlock of this system is version {landlock_version()}; {version} is wanted")


def _needs_empty_network(hostile: Any) -> None:  # noqa: ANN401
    hostile.parse("a.txt", b"text")
    if why := hostile.kept.describe()["confinement"]["network"]:
        pytest.skip(f"this system allows no network namespace: {why}")


def test_the_fork_server_is_small_and_has_one_thread(hostile: Any) -> None:  # noqa: ANN401
    assert not HEAVY & set(said(hostile, "modules").split(","))
    assert len(os.listdir(f"/proc/{hostile.pid}/task")) == 1


def test_the_network_is_another_and_empty(hostile: Any) -> None:  # noqa: ANN401
    _needs_empty_network(hostile)
    assert os.stat(f"/proc/{hostile.pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino
    assert said(hostile, "datagram") == "refused: Network is unreachable"
    interfaces = Path(f"/proc/{hostile.pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_a_listener_on_this_machine_is_not_reached(hostile: Any) -> None:  # noqa: ANN401
    if landlock_version() < TCP_RULES:
        _needs_empty_network(hostile)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert said(hostile, f"stream {listener.getsockname()[1]}").startswith("refused: ")


def test_files_are_neither_read_nor_written(hostile: Any, tmp_path: Path) -> None:  # noqa: ANN401
    _needs_landlock()
    secret, target = tmp_path / "secret", tmp_path / "target"
    secret.write_text("secret")
    assert said(hostile, f"open {secret}") == "refused: Too many open files; refused: Permission denied"
    assert said(hostile, f"write {target}").startswith("refused: ")
    assert not target.exists()


def test_limits_are_not_raised(hostile: Any) -> None:  # noqa: ANN401
    assert said(hostile, "grow") == "refused"


def test_limits_and_privileges_of_a_child(hostile: Any) -> None:  # noqa: ANN401
    async def looked() -> tuple[str, str]:
        task = asyncio.create_task(hostile.parsers().parse("a.txt", hostile.raw(b"hang")))
        while not (children := hostile_children(server.pid)):  # noqa: ASYNC110  nobody says so
            await asyncio.sleep(0.01)
        limits, status = "", ""
        while "Max file size             0 " not in limits:  # until it has confined itself
            await asyncio.sleep(0.01)
            limits, status = (process_file(children[0], name) for name in ("limits", "status"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return limits, status

    server = hostile.run(hostile.kept.running)
    limits, status = hostile.portal.call(looked)
    for name, value in (("open files", 5), ("core file size", 0), ("file size", 0), ("processes", 0), ("cpu time", 60)):
        assert re.search(rf"^Max {name}\s+{value} ", limits, re.M), name
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)


def process_file(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def hostile_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_no_process_is_signalled(own_hostile: Any) -> None:  # noqa: ANN401
    _needs_landlock(SIGNAL_RULES)
    pid = own_hostile.pid
    assert said(own_hostile, "kill").startswith("refused: ")
    assert own_hostile.pid == pid


def test_a_child_has_its_file_and_its_stream_and_no_environment(
    hostile: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert said(hostile, "descriptors") == "0,1,2,3,4"
    assert not [name for name in said(hostile, "environment").split(",") if name.startswith(("QUARRY", "PATH", "HOME"))]
