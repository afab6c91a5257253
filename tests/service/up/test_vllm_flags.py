"""Which flags a vLLM knows."""

import asyncio
import os
from pathlib import Path

from service.up.vllm_flags import known_flags, listed_flags

HELP = """usage: vllm serve [model_tag] [options]

options:
  --api-server-count API_SERVER_COUNT, -asc API_SERVER_COUNT
                        How many. Cannot be combined with --grpc-port, which
                        --went-away in the last version.
  --enable-log-requests, --no-enable-log-requests
  -tp N, --tensor-parallel-size N
"""


def test_only_options_that_are_listed_count() -> None:
    assert listed_flags(HELP) == {
        "--api-server-count",
        "--enable-log-requests",
        "--no-enable-log-requests",
        "--tensor-parallel-size",
    }


def test_it_is_asked_again_when_it_was_installed_anew(tmp_path: Path) -> None:
    executable, remembered, asked = tmp_path / "vllm", tmp_path / "flags.json", tmp_path / "asked"

    def install(flag: str, version: int) -> None:
        executable.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho "  {flag} X"\n')
        executable.chmod(0o755)
        os.utime(executable, (version, version))

    def ask() -> frozenset[str] | None:
        return asyncio.run(known_flags(executable, os.environ, remembered))

    install("--one", 1)
    assert ask() == ask() == {"--one"}
    assert asked.read_text() == "serve --help=all\n"
    install("--two", 2)
    assert ask() == {"--two"}
    remembered.write_text("{")
    assert ask() == {"--two"}


def test_one_that_lists_nothing_is_believed_to_know_all(tmp_path: Path) -> None:
    executable = tmp_path / "vllm"
    executable.write_text("#!/bin/sh\necho '  --flag X'; exit 2\n")
    executable.chmod(0o755)
    assert asyncio.run(known_flags(executable, os.environ, tmp_path / "flags.json")) is None
    assert not (tmp_path / "flags.json").exists()
