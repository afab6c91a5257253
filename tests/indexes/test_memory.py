from pathlib import Path

import psutil
import pytest

from indexes.errors import InsufficientMemoryError
from indexes.memory import HostMemory, available_bytes, give_back_freed, host_memory, require_memory


def group(folder: Path, limit: str, used: int, inactive: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    return folder


def test_what_is_left_of_the_groups_limit_counts(tmp_path: Path) -> None:
    assert available_bytes(group(tmp_path, "1000", 900, 50)) == 150


def test_a_group_that_is_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    assert available_bytes(group(tmp_path, "1000", 1500, 0)) == 0


@pytest.mark.parametrize("limit", ["max", str(2**62)])
def test_without_a_limit_the_machines_memory_counts(tmp_path: Path, limit: str) -> None:
    assert 0 < available_bytes(group(tmp_path, limit, 0, 0)) <= psutil.virtual_memory().total


def test_no_control_group_at_all(tmp_path: Path) -> None:
    assert 0 < available_bytes(tmp_path) <= psutil.virtual_memory().total


def test_what_would_not_fit_is_refused_with_both_numbers() -> None:
    require_memory(100, "a rebuild of 5 rows", available=100)
    with pytest.raises(InsufficientMemoryError, match=r"a rebuild of 5 rows needs 101 bytes .* 100 are free"):
        require_memory(101, "a rebuild of 5 rows", available=100)


def test_a_full_group_counts_and_pages_that_can_be_dropped_do_not(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 600\nactive_file 10\ninactive_file 20\nslab_reclaimable 5\n")
    assert host_memory(tmp_path) == HostMemory(965, 1000)


@pytest.mark.parametrize("limit", ["max", str(2**62)])
def test_a_roomy_group_leaves_it_to_the_machine(tmp_path: Path, limit: str) -> None:
    memory = host_memory(group(tmp_path, limit, 0, 0))
    assert memory.limit == psutil.virtual_memory().total
    assert 0 < memory.used < memory.limit


def test_giving_back_what_was_freed_is_possible_anywhere() -> None:
    give_back_freed()
