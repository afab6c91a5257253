import pytest

from indexes.ivf_pq import IvfPqParams
from indexes.retuning import dearer


@pytest.mark.parametrize(
    ("nprobe", "refine", "expected"),
    [(10, 4, (20, 4)), (60, 4, (100, 4)), (100, 4, (100, 8)), (100, 40, (100, 64)), (100, 64, None)],
)
def test_lists_come_first_and_candidates_after_them(nprobe: int, refine: int, expected: tuple[int, int] | None) -> None:
    assert dearer(IvfPqParams(nlist=100, m=8, nprobe=nprobe, refine=refine)) == expected
