"""Where a request waits."""

import pytest

from service.api.caller import lane_of
from service.scheduling.job import Lane


@pytest.mark.parametrize(("characters", "lane"), [(0, Lane.QUERY), (2048, Lane.QUERY), (2049, Lane.BULK)])
def test_what_nobody_types_while_waiting_is_bulk_work(characters: int, lane: Lane) -> None:
    assert lane_of(characters) is lane
