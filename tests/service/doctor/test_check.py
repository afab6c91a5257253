"""A check is bounded in time and never raises."""

import threading
from collections.abc import Iterator

import pytest

from service.doctor.check import Check, Finding, Status, ok

PATIENCE_S = 200.0


def test_findings_come_as_they_are_made() -> None:
    assert Check("a", lambda: [ok("a", "well"), ok("b", "too")]).made() == [ok("a", "well"), ok("b", "too")]


def test_a_check_that_breaks_is_a_failure() -> None:
    def look() -> Iterator[Finding]:
        yield ok("a", "well")
        raise KeyError("nothing")

    (found,) = Check("a", look).made()
    assert (found.name, found.status) == ("a", Status.FAILURE)
    assert "KeyError: 'nothing'" in found.found


def test_a_check_that_hangs_is_a_failure() -> None:
    let_go = threading.Event()

    def look() -> Iterator[Finding]:
        assert let_go.wait(PATIENCE_S)
        yield ok("a", "late")

    (found,) = Check("a", look, within_s=0.01).made()
    let_go.set()
    assert found.status is Status.FAILURE
    assert "no answer" in found.found


@pytest.mark.parametrize("status", list(Status))
def test_a_status_is_a_word(status: Status) -> None:
    assert status.value in {"ok", "warning", "failure"}
