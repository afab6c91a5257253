"""What was acknowledged before a SIGKILL is there after it; ``make crash-test`` asks at length."""

from pathlib import Path

import numpy as np
import pytest

from faults.crash import Aim, crash_test, open_phases

SEED = 1
# Three directories, eight kills each.
KILLS = 24


@pytest.mark.slow
def test_kills_lose_invent_and_double_nothing(tmp_path: Path) -> None:
    tally, next_seed = crash_test(KILLS, SEED, tmp_path)
    summary = tally.summary()
    print(f"seed {SEED}: {summary}")  # noqa: T201  names the data of a failure
    assert tally.passed, [*tally.found.faults, *tally.errors]
    assert tally.kills == KILLS
    assert tally.acked > 10 * KILLS
    assert set(tally.phases) >= {"opening", "ingest", "delete"}
    assert next_seed == SEED + 3
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_acknowledges_what_it_never_wrote_is_found_out(tmp_path: Path) -> None:
    tally, next_seed = crash_test(KILLS, SEED, tmp_path, "--lie-every", 10)
    assert tally.found.lost
    assert not tally.passed
    assert next_seed == SEED, "the seed that failed is the one to go on with"
    assert (tmp_path / str(SEED) / "data").is_dir(), "the directory is kept as it was found"


def test_aims_are_drawn_from_their_seed() -> None:
    def drawn(seed: int) -> list[Aim]:
        rng = np.random.default_rng(seed)
        return [Aim.drawn(rng) for _ in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {aim.phase for aim in drawn(1)} >= {"opening", "ingest", "delete", "maintain"}


def test_an_aim_is_met_by_the_beginning_of_its_phase_alone() -> None:
    journal = ["began maintain", "intent 7 ingest", "acked 7 created", "intent 8 delete", "ended maintain 1"]
    met = {phase: [line for line in journal if Aim(phase, 1, 0.0).is_met_by(line)] for phase in ("maintain", "delete")}
    assert met == {"maintain": ["began maintain"], "delete": ["intent 8 delete"]}


def test_open_phases_are_those_without_an_end() -> None:
    journal = ["began opening", "ended opening", "intent 0 ingest", "intent 1 delete", "began maintain", "acked 0 x"]
    assert open_phases(journal) == {"delete", "maintain"}
