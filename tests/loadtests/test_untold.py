"""A budget on what a run will not tell is an error before it."""

import pytest

pytest.importorskip("scipy", reason="the loadtest extra is not installed")

from loadtests.budgets import DEFAULT, Budgets
from loadtests.load_test import Request
from loadtests.profile import Profile
from loadtests.reading import Reading, read
from loadtests.untold import UntoldError, require_told
from service.telemetry.metrics import Metrics

BUDGETS = Budgets.read(DEFAULT).profiles


def test_what_a_server_tells_of_its_process_is_enough_for_a_soak() -> None:
    reading = read(0.0, Metrics().render().decode(), None)
    assert min(reading.resident_bytes or 0, reading.descriptors or 0, reading.threads or 0) > 0
    assert (reading.questions, reading.question_wait_s) == (0, 0)
    require_told(BUDGETS[Profile.SOAK], Request(Profile.SOAK, seed=1), reading)


def test_a_soak_of_a_server_that_tells_nothing_is_an_error_that_names_it() -> None:
    with pytest.raises(UntoldError, match=r"memory_mib_per_hour.*descriptors_per_hour.*threads_per_hour"):
        require_told(BUDGETS[Profile.SOAK], Request(Profile.SOAK, seed=1), Reading(0.0))


def test_an_overload_at_a_rate_that_is_given_has_no_peak() -> None:
    with pytest.raises(UntoldError, match="goodput_of_peak: --rate"):
        require_told(BUDGETS[Profile.OVERLOAD], Request(Profile.OVERLOAD, seed=1, rate=5.0), Reading(0.0))


@pytest.mark.parametrize("profile", [profile for profile in Profile if profile is not Profile.SOAK])
def test_the_budgets_that_come_with_it_can_be_told(profile: Profile) -> None:
    require_told(BUDGETS[profile], Request(profile, seed=1), Reading(0.0))
