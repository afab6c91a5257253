"""What is a sign of life, and since when there was none."""

from service.up.liveness import Liveness


def test_silence_counts_from_the_latest_sign() -> None:
    liveness = Liveness(now=100.0, frozen_after_s=5.0)
    liveness.see(103.0)
    liveness.see(101.0)  # an old report that comes late
    assert liveness.silent_s(107.0) == 4.0
    assert not liveness.is_frozen(107.9)
    assert liveness.is_frozen(108.0)


def test_counters_are_a_sign_only_when_they_move_and_only_from_when_they_may_have() -> None:
    liveness = Liveness(now=100.0, frozen_after_s=5.0)
    liveness.count(("tokens 7",), at=103.0)  # the first reading says nothing
    assert liveness.silent_s(103.0) == 3.0
    liveness.count(("tokens 7",), at=104.0)
    assert liveness.silent_s(104.0) == 4.0
    liveness.count(("tokens 8",), at=105.0)
    assert liveness.silent_s(105.0) == 1.0


def test_time_in_which_nobody_looked_is_no_silence() -> None:
    liveness = Liveness(now=100.0, frozen_after_s=5.0)
    liveness.see(102.0)
    liveness.excuse(3600.0)
    assert liveness.silent_s(3704.0) == 2.0
    assert not liveness.is_frozen(3704.0)
