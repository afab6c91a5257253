"""A write, fsync or rename that fails is reported or made good, and never costs a row that was acknowledged.

``make fault-test`` lets each of them fail; here are some of each.
"""

from pathlib import Path

import pytest

from faults.injection import CALLS, Fault, sample, suffered
from faults.strace import why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.mark.slow
def test_faults_all_over_a_run_are_reported_or_made_good(tmp_path: Path) -> None:
    outcomes = sample(tmp_path / "faults", 2)
    assert [said for outcome in outcomes for said in outcome.faults] == []
    assert sum(outcome.hit for outcome in outcomes) > 0.9 * len(outcomes)
    assert {outcome.fault.call for outcome in outcomes} >= {"pwrite64", "fdatasync", "mkdir"}
    assert sum(outcome.reported > 0 for outcome in outcomes) > len(outcomes) / 2


def test_a_worker_that_acknowledges_what_failed_is_found_out(tmp_path: Path) -> None:
    outcome = suffered(Fault("pwrite64", 200, "ENOSPC", lasting=True), tmp_path / "lie", "--ack-failures")
    assert outcome.hit
    assert outcome.verdict.lost
    assert (tmp_path / "lie" / "data").is_dir(), "the directory is kept as it was found"


def test_a_fault_that_nothing_meets_is_told_apart(tmp_path: Path) -> None:
    outcome = suffered(Fault("rename", 10_000, "EIO", lasting=False), tmp_path / "none")
    assert not outcome.hit
    assert (outcome.faults, outcome.reported) == ([], 0)


@pytest.mark.parametrize(("lasting", "when"), [(False, "3"), (True, "3+")])
def test_a_fault_in_the_words_of_strace(lasting: bool, when: str) -> None:
    options = Fault("fsync", 3, "EIO", lasting).options
    assert options == ["-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={when}"]
    assert "fsync" in CALLS
