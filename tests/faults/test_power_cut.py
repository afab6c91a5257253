"""What was acknowledged before the power went is on the disk; ``make power-test`` cuts it more often."""

from pathlib import Path

import pytest

from faults.power_cut import Cuts, cut_power, recorded
from faults.strace import why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
SEED = 1


def cut(tmp_path: Path, number: int, *arguments: object) -> Cuts:
    sums = Cuts()
    cut_power(recorded(SEED, tmp_path / "run", *arguments), number, tmp_path, sums)
    print(f"seed {SEED}: {sums.summary()}")  # noqa: T201  names the data of a failure
    return sums


@pytest.mark.slow
def test_the_disk_holds_what_was_acknowledged_whenever_the_power_goes(tmp_path: Path) -> None:
    sums = cut(tmp_path, 20)
    assert (sums.found.faults, sums.errors) == ([], [])
    assert sums.cuts == 20
    assert sums.acked > 200


def test_without_syncs_acknowledged_rows_are_lost(tmp_path: Path) -> None:
    sums = cut(tmp_path, 10, "--synchronous-off")
    assert len(sums.found.lost) > 10
    assert any("is gone" in said for said in sums.found.lost)
