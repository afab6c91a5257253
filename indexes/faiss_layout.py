"""The layout of our own index in FAISS's format, walked through before FAISS reads a byte of it.

FAISS reads any index that it knows, nested as deep as the file says, and believes every length. Of ours all but the
lengths of the lists follows from its shape, so a file that is anything else is refused here by arithmetic alone:

    [IxPT, header, 1 transform: LTra, bias?, matrix, bias, d, d, trained]    where vectors are rotated
    IwPQ, header, nlist, nprobe, IxFI or IxF2 (header, centroids), direct map: none, by residual, code size,
    quantizer (d, m, bits, codebooks), ilar (nlist, code size, full or sprs, lengths of the lists), codes and ids
"""

import struct
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from indexes.base import Metric
from indexes.errors import IndexFileError
from indexes.faiss_training import faiss_metric

_HEADER = struct.Struct("<4siqqqBi")
_LONGEST_DIMENSION = 65_536
_BITS = 8
_CODES = 256


@dataclass(frozen=True, slots=True)
class Shape:
    """What an index must be to be the expected one."""

    dimension: int
    metric: Metric
    rows: int
    nlist: int
    m: int
    rotated: bool


def check_layout(data: NDArray[np.uint8], shape: Shape) -> None:
    """Nothing is allocated but the lengths of the lists, which are not more than the shape says.

    Raises:
        IndexFileError: names what differs.
    """
    _check_shape(shape)
    _Walk(data, shape).whole()


def expect(name: str, found: object, expected: object) -> None:
    """Raises IndexFileError where two values differ."""
    if found != expected:
        raise IndexFileError(f"the index has {name} {found!r}, not {expected!r}")


def _check_shape(shape: Shape) -> None:
    """The shape comes out of a file too."""
    numbers = (shape.dimension, shape.rows, shape.nlist, shape.m)
    fits = all(type(number) is int and number > 0 for number in numbers) and type(shape.rotated) is bool
    if not fits or shape.metric not in get_args(Metric):
        raise IndexFileError(f"{shape} is no shape of an index")
    if shape.dimension > _LONGEST_DIMENSION or shape.dimension % shape.m or shape.nlist > shape.rows:
        raise IndexFileError(f"no index has {shape}")


class _Walk:
    """From the first byte to the last."""

    def __init__(self, data: NDArray[np.uint8], shape: Shape) -> None:
        self._data = data.data
        self._shape = shape
        self._at = 0

    def whole(self) -> None:
        shape = self._shape
        kind = bytes(self._data[:4])
        expect("rotated", kind == b"IxPT", shape.rotated)
        if shape.rotated:
            self._rotation()
        self._header(b"IwPQ", "rows", shape.rows)
        expect("lists", self._number("<Q"), shape.nlist)
        self._number("<Q")  # nprobe, which every search says itself
        self._quantizer()
        expect("a direct map", (self._number("<B"), self._number("<Q")), (0, 0))
        expect("codes by residual", self._number("<B"), 1)
        expect("bytes of a code", self._number("<Q"), shape.m)
        self._codebooks()
        self._lists()
        expect("bytes behind its end", len(self._data) - self._at, 0)

    def _rotation(self) -> None:
        d = self._shape.dimension
        self._header(b"IxPT", "rows", self._shape.rows)
        expect("transforms", self._number("<i"), 1)
        expect("a transform", self._kind(), b"LTra")
        has_bias = self._number("<B")
        self._vector("a matrix", d * d, 4)
        self._vector("a bias", d if has_bias else 0, 4)
        expect("the sides of a matrix", (self._number("<i"), self._number("<i")), (d, d))
        self._number("<B")

    def _quantizer(self) -> None:
        shape = self._shape
        flat = b"IxF2" if shape.metric == "l2" else b"IxFI"
        self._header(flat, "centroids", shape.nlist)
        self._vector("centroids", shape.nlist * shape.dimension, 4)

    def _codebooks(self) -> None:
        shape = self._shape
        expect("the dimension of its codes", self._number("<Q"), shape.dimension)
        expect("bytes of a code", self._number("<Q"), shape.m)
        expect("bits of a code's byte", self._number("<Q"), _BITS)
        self._vector("codebooks", _CODES * shape.dimension, 4)

    def _lists(self) -> None:
        shape = self._shape
        expect("lists of a kind", self._kind(), b"ilar")
        expect("lists", self._number("<Q"), shape.nlist)
        expect("bytes of a code", self._number("<Q"), shape.m)
        kind, count = self._kind(), self._number("<Q")
        if kind not in {b"full", b"sprs"}:
            raise IndexFileError(f"the index has lengths of lists as {kind!r}, not 'full' or 'sprs'")
        if count > 2 * shape.nlist or (kind == b"full" and count != shape.nlist) or (kind == b"sprs" and count % 2):
            raise IndexFileError(f"the index has {count} lengths of {shape.nlist} lists")
        lengths = np.frombuffer(self._taken(8 * count), dtype="<u8")
        if kind == b"sprs":
            places, lengths = lengths[::2], lengths[1::2]
            if (len(places) and int(places.max()) >= shape.nlist) or len(np.unique(places)) != len(places):
                raise IndexFileError(f"the index has lengths of lists that are not among its {shape.nlist}")
        if int(lengths.max(initial=0)) > shape.rows:
            raise IndexFileError(f"the index has a list of {int(lengths.max())} rows, of {shape.rows} in all")
        expect("rows in its lists", int(lengths.sum()), shape.rows)
        self._taken(shape.rows * (shape.m + 8))

    def _header(self, kind: bytes, name: str, rows: int) -> None:
        found, dimension, total, _, _, trained, metric = _HEADER.unpack(self._taken(_HEADER.size))
        expect("a part", found, kind)
        expect("dimension", dimension, self._shape.dimension)
        expect("metric", metric, faiss_metric(self._shape.metric))
        expect(name, total, rows)
        expect("been trained", trained, 1)

    def _vector(self, name: str, length: int, width: int) -> None:
        expect(f"numbers of {name}", self._number("<Q"), length)
        self._taken(length * width)

    def _kind(self) -> bytes:
        return bytes(self._taken(4))

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(form, self._taken(struct.calcsize(form)))
        return int(number)

    def _taken(self, count: int) -> memoryview:
        end = self._at + count
        if end > len(self._data):
            raise IndexFileError(f"the index ends after {len(self._data)} bytes; it goes on for {end} at least")
        taken, self._at = self._data[self._at : end], end
        return taken
