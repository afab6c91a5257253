"""The header of a safetensors file, checked before a library maps the rest of it.

8 bytes: length of the header · JSON: {"name": {"dtype", "shape", "data_offsets": [begin, end]}} · the data
"""

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from models.base import UnsupportedModelError

# A model of a thousand layers has a few megabytes of names.
MAX_HEADER_BYTES = 32 << 20
MAX_DIMENSIONS = 16
_LENGTH_BYTES = 8
_MOST = 1 << 63  # a file has no more bytes
_BYTES_OF = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


def check_header(folder: Path, path: Path) -> None:
    """Every tensor lies in the file, has a type of number that is known, and shares no byte with another.

    Args:
        folder: of the model, for the error.

    Raises:
        UnsupportedModelError: names the file and what is wrong with it.
    """
    try:
        header, data_bytes = _read(path)
        spans = sorted(_span(name, entry) for name, entry in header.items() if name != "__metadata__")
        _check_apart(spans, data_bytes)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        said = f"{path.relative_to(folder)} is cut short or corrupt: {error}"
        raise UnsupportedModelError(f"{folder} cannot be loaded: {said}") from error


def _check_apart(spans: Sequence[tuple[int, int, str]], data_bytes: int) -> None:
    for (_, end, name), (begin, _, other) in pairwise(spans):
        if begin < end:
            raise ValueError(f"{name[:80]!r} and {other[:80]!r} overlap")
    if spans and spans[-1][1] > data_bytes:
        raise ValueError(f"its tensors end at {spans[-1][1]} of {data_bytes} bytes")


def _read(path: Path) -> tuple[Mapping[str, Any], int]:
    """The header, and how many bytes of data lie behind it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no plain file")
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > min(MAX_HEADER_BYTES, found.st_size - _LENGTH_BYTES):
            raise ValueError(f"a header of {length} bytes in {found.st_size}; the limit is {MAX_HEADER_BYTES}")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise TypeError(f"its header is a {type(header).__name__}")
    return header, found.st_size - _LENGTH_BYTES - length


def _span(name: str, entry: Mapping[str, Any]) -> tuple[int, int, str]:
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{name[:80]!r} has a shape that is no list of up to {MAX_DIMENSIONS} numbers")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name[:80]!r} has a shape or offsets that are no numbers from 0")
    # Numbers of any length would be multiplied for as long.
    if max(*shape, begin, end, 0) > _MOST or end - begin != math.prod(shape) * _BYTES_OF[entry["dtype"]]:
        raise ValueError(f"{name[:80]!r} has {end - begin} bytes for its shape")
    return begin, end, name
