"""What doctor says about the processes that read files."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service.doctor.parsing import look_at_parsing
from service.errors import ParserUnavailableError
from service.ingest.parsing.messages import Hello


def fork_server(hello: Hello | Exception) -> Callable[[], Any]:
    async def greet() -> Hello:
        if isinstance(hello, Exception):
            raise hello
        return hello

    return lambda: SimpleNamespace(hello=greet, close=lambda: None)


@pytest.mark.parametrize(
    ("hello", "statuses", "said"),
    [
        (Hello(None, True), ["ok", "ok"], "empty network namespace"),
        (Hello("unshare: Operation not permitted", True), ["warning", "ok"], "unshare: Operation not permitted"),
        (Hello(None, False), ["ok", "warning"], "no Landlock"),
        (ParserUnavailableError("it did not start"), ["failure"], "it did not start"),
    ],
)
def test_what_keeps_parsers_in(hello: Hello | Exception, statuses: list[str], said: str) -> None:
    findings = list(look_at_parsing(fork_server(hello)))
    assert [finding.status.value for finding in findings] == statuses
    assert any(said in finding.found for finding in findings)
    assert all(finding.advice for finding in findings if finding.status.value != "ok")


def test_here_it_starts() -> None:
    assert {finding.status.value for finding in look_at_parsing()} <= {"ok", "warning"}
