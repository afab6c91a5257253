"""How an index fits on a card: whose kernels search it, where the exact vectors lie, and what all of it takes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from indexes.base import Metric
from indexes.errors import DeviceError, InsufficientMemoryError
from indexes.ivf_pq_params import CLASSIC_GPU_BYTES

Backend = Literal["classic", "cuvs"]
RefineHome = Literal["card", "host"]
Precision = Literal["float16", "float32"]

# FAISS's classic kernels keep a query's look-up tables, 256 entries for each byte of a code, in shared memory.
_SHARED_BYTES = 48 * 1024
_ENTRIES = 256
# Sub-vectors that the classic kernel for look-up tables is compiled for; others go through a matrix product.
_CLASSIC_SUBVECTORS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32)
# Candidates of a search and lists that it visits, at most; in the order in which the two are preferred.
_MOST: dict[Backend, int] = {"cuvs": 16_384, "classic": 2048}
# Codes interleave in blocks of so many rows; cuVS rounds each list up to the larger one.
_CLASSIC_BLOCK, _CUVS_BLOCK = 32, 1024
_ALLOCATION = 512  # what cudaMalloc rounds up to
# Temporary memory of one StandardGpuResources: FAISS takes 1.5 GiB at most.
_MOST_TEMP, _LEAST_TEMP = 3 << 29, 64 << 20
# Left free whatever the budget says: handles of cuBLAS, and what others on the card allocate in passing.
_RESERVE = 512 << 20
# The exact vectors have room for a tail of a quarter of the sealed rows, and for this many in any case.
_LEAST_TAIL = 65_536


@dataclass(frozen=True, slots=True)
class CardShape:
    """What is to be placed."""

    rows: int
    dimension: int
    nlist: int
    m: int
    metric: Metric
    rotated: bool = False


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """How it is placed.

    Attributes:
        float16_tables: look-up tables in half precision, because single does not fit into shared memory.
        interleaved: layout of the codes.
        matrix_tables: look-up tables by a matrix product, because no kernel has sub-vectors of this length.
        index_bytes: codes, ids, centroids.
        temp_bytes: set aside for searches.
        refine: where the exact vectors lie.
        capacity: rows for which there is room in them on the card; 0 on the host.
        precision: of the exact vectors on the card.
        refine_bytes: they take there.
        most: candidates of one search, and lists it visits, at most.
        why: a sentence for the operator.
    """

    backend: Backend
    float16_tables: bool
    interleaved: bool
    matrix_tables: bool
    index_bytes: int
    temp_bytes: int
    refine: RefineHome
    capacity: int
    precision: Precision
    refine_bytes: int
    most: int
    why: str

    @property
    def has_wide_ids(self) -> bool:
        """Positions take 64 bits on the card: cuVS knows no others."""
        return self.backend == "cuvs"

    @property
    def total_bytes(self) -> int:
        """All that is allocated on the card."""
        return self.index_bytes + self.temp_bytes + self.refine_bytes


def plan_card(shape: CardShape, free: int, budget: int | None, backends: Collection[Backend]) -> GpuPlan:
    """The best placement within the memory allowed.

    cuVS is preferred where it was built in and fits, since it takes eight times as many candidates from as many lists;
    the classic kernels take less memory, because they do not round lists up. Codes come first, exact vectors get what
    is left.

    Args:
        free: bytes that are free on the card.
        budget: bytes the index may take of them; None allows half.

    Raises:
        DeviceError: no kernel searches codes of this shape.
        InsufficientMemoryError: not even the codes fit.
    """
    allowed = max(0, min(free // 2 if budget is None else budget, free - _RESERVE))
    temp = min(_MOST_TEMP, max(_LEAST_TEMP, allowed // 16))
    able = {backend: _obstacle(backend, shape) for backend in _MOST if backend in backends}
    if not able or all(able.values()):
        said = "; ".join(f"{backend}: {obstacle}" for backend, obstacle in able.items()) or "FAISS has no GPU kernels"
        raise DeviceError(f"no kernel searches {shape.m}-byte codes of {shape.dimension} dimensions: {said}")
    fitting: dict[Backend, int] = {backend: index_bytes(backend, shape) for backend in able if not able[backend]}
    passed = [f"{backend} {obstacle}" for backend, obstacle in able.items() if obstacle]
    for backend, taken in fitting.items():
        if taken + temp <= allowed:
            return _planned(backend, shape, temp, allowed, passed)
        passed.append(f"{backend} needs {_shown(taken + temp)}")
    raise InsufficientMemoryError(
        f"{shape.rows} rows do not fit on the card: {'; '.join(passed)}; {_shown(allowed)} are allowed "
        f"and {_shown(free)} free"
    )


def index_bytes(backend: Backend, shape: CardShape) -> int:
    """Bytes of codes, ids, centroids and codebooks on the card; lists of unequal length counted at what they round to.

    A list of cuVS is rounded up to 1024 rows: half of that on average where lists are long, all of it where they are
    short.
    """
    centroids = 4 * shape.dimension * shape.nlist
    codebooks = 4 * shape.dimension * _ENTRIES
    if backend == "cuvs":
        rows = max(shape.rows + shape.nlist * _CUVS_BLOCK // 2, shape.nlist * _CUVS_BLOCK)
        # Centroids are kept as they are, with their norms, and rotated.
        return rows * (shape.m + 8) + 2 * centroids + 32 * shape.nlist + codebooks + 4 * shape.dimension**2
    padded = shape.rows + (shape.nlist * (_CLASSIC_BLOCK - 1) if _is_interleaved(backend, shape.m) else 0)
    lists = padded * shape.m + 4 * shape.rows + 2 * _ALLOCATION * shape.nlist
    return lists + centroids + 4 * shape.nlist + 2 * codebooks


def _planned(backend: Backend, shape: CardShape, temp: int, allowed: int, passed: list[str]) -> GpuPlan:
    taken = index_bytes(backend, shape)
    capacity = shape.rows + max(_LEAST_TAIL, shape.rows // 4)
    # Components of unit vectors are at most 1; others may be beyond what half precision can hold.
    precision: Precision = "float16" if shape.metric == "cosine" else "float32"
    width = shape.dimension * (2 if precision == "float16" else 4) + (4 if shape.metric == "l2" else 0)
    on_card = taken + temp + capacity * width <= allowed
    why = [f"{backend} takes {_shown(taken)} and {_shown(temp)} for searches, of {_shown(allowed)} allowed"]
    exact = f"exact vectors ({precision}, {_shown(capacity * width)})"
    why.append(f"the {exact} fit beside it" if on_card else f"the {exact} would not fit beside it and stay on the host")
    return GpuPlan(
        backend=backend,
        float16_tables=4 * shape.m * _ENTRIES > _SHARED_BYTES,
        interleaved=_is_interleaved(backend, shape.m),
        matrix_tables=backend == "classic" and shape.dimension // shape.m not in _CLASSIC_SUBVECTORS,
        index_bytes=taken,
        temp_bytes=temp,
        refine="card" if on_card else "host",
        capacity=capacity if on_card else 0,
        precision=precision,
        refine_bytes=capacity * width if on_card else 0,
        most=_MOST[backend],
        why="; ".join([*why, *passed, f"a search takes at most {_MOST[backend]} candidates and visits as many lists"]),
    )


def _obstacle(backend: Backend, shape: CardShape) -> str | None:
    """Why the kernels cannot search codes of this shape; None where they can."""
    if backend == "classic" and 2 * shape.m * _ENTRIES > _SHARED_BYTES:
        return f"takes codes of {_SHARED_BYTES // (2 * _ENTRIES)} bytes at most"
    return None


def _is_interleaved(backend: Backend, m: int) -> bool:
    """Always with cuVS; in the classic layout where the kernels for plain codes do not take the length."""
    return backend == "cuvs" or m not in CLASSIC_GPU_BYTES


def _shown(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
