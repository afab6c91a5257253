"""Who is refused is told why."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from service.admission import EngineLimits, admit
from service.errors import OverloadedError
from service.scheduling.job import Lane

CAUSE = "memory is above its high mark"


@dataclass
class Waiting:
    """A scheduler with so much before whoever comes."""

    tokens: int
    wait_s: float

    def waiting_tokens(self, _: Lane) -> int:
        return self.tokens

    def expected_wait_s(self, *_: object) -> float:
        return self.wait_s


@dataclass
class Asked:
    """As much of ``Work`` as admission looks at."""

    tokens: int
    lane: Lane = Lane.QUERY
    model: str = "m"
    deadline: None = None


@pytest.mark.parametrize(
    ("tokens", "wait_s", "is_named"), [(50, 0.1, True), (95, 0.1, False), (50, 2.0, False), (5, 2.0, False)]
)
def test_memory_is_named_where_nothing_else_refuses(tokens: int, wait_s: float, is_named: bool) -> None:
    limits = EngineLimits(queued_tokens=100, wait_s=1.0, query_tokens=20, cause=CAUSE)
    with pytest.raises(OverloadedError) as refused:
        admit(cast("Any", Asked(10)), cast("Any", Waiting(tokens, wait_s)), limits, 0.0)
    assert (CAUSE in str(refused.value)) is is_named
