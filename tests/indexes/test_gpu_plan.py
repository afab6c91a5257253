"""Every branch of the plan, by arithmetic alone."""

from dataclasses import replace

import pytest

from indexes.errors import DeviceError, InsufficientMemoryError
from indexes.gpu_plan import CardShape, index_bytes, plan_card

GB = 10**9
MILLIONS = CardShape(rows=10_000_000, dimension=384, nlist=16_384, m=48, metric="cosine")
BOTH = ("classic", "cuvs")


def test_a_roomy_card_gets_cuvs_and_the_exact_vectors() -> None:
    plan = plan_card(MILLIONS, 140 * GB, None, BOTH)
    assert (plan.backend, plan.refine, plan.precision, plan.most) == ("cuvs", "card", "float16", 16_384)
    assert plan.refine_bytes == 12_500_000 * 384 * 2
    assert plan.capacity == 12_500_000
    assert plan.total_bytes == plan.index_bytes + plan.temp_bytes + plan.refine_bytes
    assert plan.total_bytes <= 70 * GB
    assert "cuvs takes 1.0" in plan.why
    assert "fit beside it" in plan.why
    assert "at most 16384 candidates" in plan.why


def test_exact_vectors_that_do_not_fit_stay_on_the_host() -> None:
    plan = plan_card(MILLIONS, 140 * GB, 4 * GB, BOTH)
    assert (plan.backend, plan.refine, plan.capacity, plan.refine_bytes) == ("cuvs", "host", 0, 0)
    assert "stay on the host" in plan.why


def test_lists_that_cuvs_rounds_up_too_far_go_to_the_classic_kernels() -> None:
    plan = plan_card(MILLIONS, 140 * GB, int(1.0 * GB), BOTH)
    assert (plan.backend, plan.refine, plan.most) == ("classic", "host", 2048)
    assert "cuvs needs 1.1" in plan.why


def test_cuvs_rounds_each_list_up_to_1024_rows() -> None:
    short = replace(MILLIONS, rows=1_000_000)  # 61 rows a list
    assert index_bytes("cuvs", short) > 16_384 * 1024 * 56
    assert index_bytes("cuvs", MILLIONS) > (10_000_000 + 16_384 * 512) * 56 - 1
    assert index_bytes("classic", MILLIONS) < 0.6 * index_bytes("cuvs", MILLIONS)


def test_an_index_that_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        InsufficientMemoryError, match=r"10000000 rows.*cuvs needs .*classic needs .*0\.40 GB are allowed"
    ):
        plan_card(MILLIONS, 140 * GB, 4 * GB // 10, BOTH)


def test_a_reserve_stays_free_whatever_the_budget_says() -> None:
    assert plan_card(MILLIONS, 3 * GB, 100 * GB, BOTH).total_bytes <= 3 * GB - (512 << 20)
    with pytest.raises(InsufficientMemoryError, match=r"0\.0 MB are allowed"):
        plan_card(MILLIONS, 500 << 20, 100 * GB, BOTH)


def test_a_build_without_cuvs_gets_the_classic_kernels() -> None:
    assert plan_card(MILLIONS, 140 * GB, None, ("classic",)).backend == "classic"


@pytest.mark.parametrize(
    ("m", "half", "interleaved", "by_product"),
    [(48, False, False, False), (64, True, False, False), (96, True, False, False), (6, False, True, True)],
)
def test_classic_tables_and_layout(m: int, half: bool, interleaved: bool, by_product: bool) -> None:
    plan = plan_card(replace(MILLIONS, m=m), 140 * GB, None, ("classic",))
    assert (plan.float16_tables, plan.interleaved, plan.matrix_tables) == (half, interleaved, by_product)
    assert not plan.has_wide_ids


def test_codes_too_long_for_classic_tables_need_cuvs() -> None:
    long = replace(MILLIONS, m=128)
    with pytest.raises(DeviceError, match=r"128-byte codes of 384 dimensions: classic: takes codes of 96 bytes"):
        plan_card(long, 140 * GB, None, ("classic",))
    plan = plan_card(long, 140 * GB, None, BOTH)
    assert (plan.backend, plan.interleaved, plan.has_wide_ids) == ("cuvs", True, True)
    assert "classic takes codes of 96 bytes" in plan.why


def test_a_build_without_kernels_is_named() -> None:
    with pytest.raises(DeviceError, match="FAISS has no GPU kernels"):
        plan_card(MILLIONS, 140 * GB, None, ())


@pytest.mark.parametrize(("metric", "row"), [("ip", 4 * 384), ("l2", 4 * 384 + 4)])
def test_vectors_of_any_length_are_kept_in_single_precision(metric: str, row: int) -> None:
    plan = plan_card(replace(MILLIONS, metric=metric), 140 * GB, None, BOTH)  # type: ignore[arg-type]
    assert plan.precision == "float32"
    assert plan.refine_bytes == 12_500_000 * row


def test_a_small_index_leaves_room_for_a_tail() -> None:
    assert plan_card(replace(MILLIONS, rows=1000, nlist=16), 140 * GB, None, BOTH).capacity == 66_536


@pytest.mark.parametrize(("free", "temp"), [(140 * GB, 3 << 29), (2 * GB, 64 << 20)])
def test_temporary_memory_is_bounded_on_both_sides(free: int, temp: int) -> None:
    assert plan_card(replace(MILLIONS, rows=1000, nlist=16), free, None, BOTH).temp_bytes == temp


def test_temporary_memory_counts_before_the_exact_vectors() -> None:
    plan = plan_card(MILLIONS, 140 * GB, None, BOTH)
    allowed = plan.index_bytes + plan.refine_bytes + (100 << 20)  # without what a search needs
    assert plan_card(MILLIONS, 140 * GB, allowed, BOTH).refine == "host"
