"""Sizes as people write them."""

import pytest

from service.capacity.errors import SizeError
from service.capacity.size import bytes_of, count_of, shown


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("141GiB", 141 << 30),
        ("80GB", 80 * 10**9),
        ("80g", 80 * 10**9),
        (" 1.5 GiB ", 3 << 29),
        ("1024", 1024),
        ("1_000", 1000),
        ("1e9", 10**9),
        ("2tib", 2 << 40),
        ("7b", 7),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text, "--x") == size


@pytest.mark.parametrize(
    ("text", "count"), [("10e6", 10**7), ("10E6", 10**7), ("10M", 10**7), ("1_000", 1000), ("7", 7)]
)
def test_counts_are_read(text: str, count: int) -> None:
    assert count_of(text, "--x") == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-1",
        "-5GiB",
        "0",
        "0GiB",
        "1.5",
        "1e999",
        "1e30",
        "GiB",
        "1 2",
        "0x10",
        "nan",
        "inf",
        "1PiB",
        "٣",
    ],
)
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    for read in (bytes_of, count_of):
        with pytest.raises(SizeError, match="--x is '"):
            read(text, "--x")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.50 KiB"), (141 << 30, "141.00 GiB"), (5 << 50, "5120.00 TiB")],
)
def test_sizes_are_shown(size: int, text: str) -> None:
    assert shown(size) == text
