"""Sizes as people write them, and as they read them."""

import math
import re

from service.capacity.errors import SizeError

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("kmgt", 1)
    for suffix, base in (("", 1000), ("b", 1000), ("ib", 1024))
}
_SIZE = re.compile(r"([0-9][0-9_]*\.?[0-9]*(?:e\+?[0-9]{1,3})?) *([a-z]*)", re.IGNORECASE)
_LARGEST = 1 << 60
_STEP = 1024


def bytes_of(text: str, name: str) -> int:
    """Bytes of ``141GiB``, ``80GB``, ``80g`` or a bare number; G is 10**9 and Gi 2**30, in any case.

    Args:
        name: of what the size is, for the message.

    Raises:
        SizeError: it is no size, not above zero, or above an exbibyte.
    """
    return _number(text, name, _UNITS, "a size such as 141GiB or 80GB")


def count_of(text: str, name: str) -> int:
    """A whole number: ``10000000``, ``10e6``, ``10_000_000``, ``10M``.

    Raises:
        SizeError: it is none, not above zero, or above 2**60.
    """
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
    return _number(text, name, units, "a number such as 1000000 or 10e6")


def shown(size: int) -> str:
    """A size for people, in binary units: ``1.50 GiB``."""
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while abs(value) >= _STEP and len(units) > 1:
        value /= _STEP
        units.pop(0)
    return f"{size} bytes" if units[0] == "bytes" else f"{value:.2f} {units[0]}"


def _number(text: str, name: str, units: dict[str, int], wanted: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in units:
        raise SizeError(f"{name} is {text!r}: give {wanted}")
    value = float(match[1].replace("_", "")) * units[match[2].lower()]
    if not math.isfinite(value) or value > _LARGEST:
        raise SizeError(f"{name} is {text!r}: at most {_LARGEST} is taken")
    if value < 1 or value != int(value):
        raise SizeError(f"{name} is {text!r}: it has to be a whole number above zero")
    return int(value)
