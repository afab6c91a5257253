"""Checkpoint: what the safetensors files of a folder hold, from their headers."""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from service.capacity.errors import ModelConfigError

_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 100 << 20  # the limit of the format's own reader
_HALVES_AND_FLOATS = {"F32", "F16", "BF16"}
_HEAD = "lm_head.weight"
# One file that repeats the others, as Mistral publishes it.
_CONSOLIDATED = "consolidated"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Sums over the files.

    Attributes:
        stored_bytes: of all tensors that a server loads.
        floats: numbers that are float32, float16 or bfloat16: a server casts them to the one it computes in.
        float_bytes: these take in the files.
    """

    stored_bytes: int
    floats: int
    float_bytes: int

    @classmethod
    def of(cls, folder: Path, tied: bool) -> "Checkpoint | None":
        """Of a folder; None where it has no safetensors.

        Args:
            tied: the head is the embeddings, so that a copy in the files is not loaded.

        Raises:
            ModelConfigError: a file cannot be read, or is no safetensors.
        """
        files = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith(_CONSOLIDATED))
        tensors = [tensor for path in files for tensor in _tensors(path) if not (tied and tensor[0] == _HEAD)]
        if not tensors:
            return None
        floats = [(numbers, size) for _, dtype, numbers, size in tensors if dtype in _HALVES_AND_FLOATS]
        stored = sum(size for *_, size in tensors)
        return cls(stored, sum(numbers for numbers, _ in floats), sum(size for _, size in floats))

    def loaded_bytes(self, width: int, is_quantized: bool) -> int:
        """On a card, with ``width`` bytes a number; what is quantised keeps its scales as they are."""
        if is_quantized:
            return self.stored_bytes
        return self.stored_bytes - self.float_bytes + self.floats * width


def _tensors(path: Path) -> Iterator[tuple[str, str, int, int]]:
    """Name, dtype, numbers and bytes of each."""
    for name, tensor in _header(path).items():
        if name == "__metadata__":
            continue
        try:
            start, stop = tensor["data_offsets"]
            yield name, tensor["dtype"], prod(tensor["shape"]), int(stop) - int(start)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelConfigError(f"{path}: the header of {name} cannot be read: {error!r}") from error


def _header(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            if length > _LARGEST_HEADER:
                raise ModelConfigError(f"{path}: a header of {length} bytes, {_LARGEST_HEADER} at most are read")
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise ModelConfigError(f"{path} cannot be read as safetensors: {error}") from error
    if not isinstance(header, dict):
        raise ModelConfigError(f"{path}: the header is no object")
    return header
