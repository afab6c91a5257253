"""A log of bounded size, and the last words in it."""

import os
from pathlib import Path

from service.up.log_file import LogFile


def test_what_is_too_much_moves_to_the_older_file_and_writing_goes_on(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", largest=100)
    with log.opened() as descriptor:
        os.write(descriptor, b"x" * 100)
        log.trim()
        assert log.path.stat().st_size == 100
        os.write(descriptor, b"y\n")
        log.trim()
        os.write(descriptor, b"after\n")
    assert log.path.read_bytes() == b"after\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 100 + b"y\n"
    assert log.last_words() == "after"


def test_last_words_are_the_errors_of_this_life(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    assert log.last_words() == ""
    with log.opened() as descriptor:
        os.write(descriptor, b"ValueError: of the life before\n")
    with log.opened() as descriptor:
        assert log.last_words() == ""
        os.write(descriptor, b"one\ntwo\n\nthree\nfour\n")
        assert log.last_words() == "two | three | four"
        os.write(
            descriptor, b"(pid=1) WARNING 11-23 15:55:23 [a.py:2] This can cause errors like `OSError: [Errno 24]`\n"
        )
        os.write(descriptor, b"\x1b[31mRuntimeError: no memory\x1b[0m\n  at last\n" + b"\xff\n")
        assert log.last_words() == "RuntimeError: no memory"


def test_last_words_are_few(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.opened() as descriptor:
        os.write(descriptor, b"word " * 1_000_000)
    assert len(log.last_words()) == 600
