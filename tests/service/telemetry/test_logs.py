"""Logs: where which lines go, and what of an exception is in them."""

import asyncio
import json
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.telemetry.logs import AUDIT, configure_logging, log_forgotten

WORDS = "honey"


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """() -> what was written there since it was asked last; the loggers are put back after the test."""
    loggers = [logging.getLogger(name) for name in ("quarry", "uvicorn.error", AUDIT)]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield lambda: capsys.readouterr().err
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        for handler in logger.handlers:
            handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def chained() -> None:
    try:
        try:
            raise KeyError(WORDS)
        except KeyError as error:
            raise ExceptionGroup(WORDS, [ValueError(WORDS), TypeError(WORDS)]) from error
    except ExceptionGroup as group:
        group.add_note(WORDS)
        raise RuntimeError(WORDS) from group


def test_an_exception_leaves_its_places_and_types_and_not_its_words(stderr: Callable[[], str]) -> None:
    configure_logging("info")
    try:
        chained()
    except RuntimeError:
        logging.getLogger("quarry.x").exception("it broke")
    (line,) = stderr().splitlines()
    said = json.loads(line)
    assert said["message"] == "it broke"
    assert "in chained" in said["exc_info"]
    assert all(name in said["exc_info"] for name in ("RuntimeError", "ExceptionGroup", "KeyError", "ValueError"))
    assert WORDS not in line


def test_what_nobody_waited_for_is_logged_without_its_words(stderr: Callable[[], str]) -> None:
    configure_logging("info")

    def refuse(text: str) -> None:
        raise ValueError(text)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_forgotten)
        loop.call_soon(refuse, WORDS)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log_forgotten(loop, {"message": "a client was not closed"})

    asyncio.run(scenario())
    written = stderr()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["message"] for line in lines] == ["nobody waited for what failed", "a client was not closed"]
    assert "in refuse" in lines[0]["exc_info"]
    assert WORDS not in written


def test_the_audit_log_is_written_whatever_the_level_and_where_it_is_wanted(
    stderr: Callable[[], str], tmp_path: Path
) -> None:
    log = logging.getLogger(AUDIT)
    configure_logging("error")
    log.info("audit", extra={"key": "a"})
    assert json.loads(stderr())["key"] == "a"
    path = tmp_path / "audit.log"
    configure_logging("error", path)
    log.info("audit", extra={"key": "b"})
    path.rename(tmp_path / "audit.log.1")
    log.info("audit", extra={"key": "c"})
    keys = [json.loads((tmp_path / name).read_text())["key"] for name in ("audit.log.1", "audit.log")]
    assert keys == ["b", "c"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stderr() == ""
    with pytest.raises(OSError, match="absent"):
        configure_logging("error", tmp_path / "absent" / "audit.log")
