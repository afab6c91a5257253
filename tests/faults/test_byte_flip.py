"""A changed byte in any file of an index is noticed, costs nothing and is made good; ``make flip-test`` tries more."""

from pathlib import Path

import numpy as np
import pytest

from faults.byte_flip import Saved, flipped

SEED = 1
FLIPS_A_FILE = 1


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved.made(tmp_path_factory.mktemp("saved") / "data", SEED)


def test_two_snapshots_are_at_stake(saved: Saved) -> None:
    of_snapshots = [file for file in saved.files if "snapshots" in file.parts]
    assert sum(file.name == "CURRENT" for file in of_snapshots) == 1
    assert sum(file.name == "manifest.json" for file in of_snapshots) == 2
    assert sum(saved.is_older(file) for file in of_snapshots) == (len(of_snapshots) - 1) / 2


def test_so_are_the_words(saved: Saved) -> None:
    of_words = {file.suffix for file in saved.files if "lexical" in file.parts}
    assert of_words >= {".idx", ".term", ".fast", ".fieldnorm", ".json"}
    assert {file.parts[2] for file in saved.files} == {"lexical", "snapshots"}


@pytest.mark.slow
def test_a_changed_byte_in_any_file_is_noticed_and_made_good(saved: Saved, tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")  # noqa: T201  names the data of a failure
    files = [file for file in saved.files for _ in range(FLIPS_A_FILE)]
    assert [said for i, file in enumerate(files) for said in flipped(saved, file, rng, tmp_path / str(i))] == []


def test_a_check_that_reads_nothing_is_found_out(saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexes.snapshot.Checksum.__eq__", lambda _, __: True)
    # One that a start does not read: nobody knows what FAISS does with a byte it was not to see.
    index = next(file for file in saved.files if saved.is_older(file) and file.name != "manifest.json")
    said = flipped(saved, index, np.random.default_rng(SEED), tmp_path / "flip")
    assert any("reading every byte finds nothing" in one for one in said)
