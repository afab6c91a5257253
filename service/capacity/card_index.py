"""CardIndex: what the index takes of a card, in the words of the program that places it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from indexes.errors import DeviceError, InsufficientMemoryError
from indexes.gpu_plan import Backend, CardShape, GpuPlan, plan_card
from indexes.ivf_pq_params import IvfPqParams
from service.capacity.amount import Amount
from service.capacity.errors import CapacityError

Refine = Literal["auto", "card", "host"]
# What faiss-gpu-cuvs is built with.
_BACKENDS: tuple[Backend, ...] = ("cuvs", "classic")
# The plan of the ledger decides what fits; the plan of the index is made as if the card were empty and endless.
_ENDLESS = 1 << 60
# The host keeps every vector in single precision, and codes with an id of eight bytes.
_FLOAT32, _ID_BYTES = 4, 8
_SOURCE = "indexes/gpu_plan.py"


@dataclass(frozen=True, slots=True)
class CardIndex:
    """An index on a card, and the one that is built beside it when it is rebuilt.

    Attributes:
        served: how it is placed.
        rebuilt: how its successor is, while both are there.
        device_bytes: the setting ``index.device_bytes`` under which both are placed so.
        host_bytes: of the machine's memory, for vectors and codes.
    """

    rows: int
    dimension: int
    served: GpuPlan
    rebuilt: GpuPlan
    device_bytes: int
    host_bytes: int

    @classmethod
    def of(cls, rows: int, dimension: int, home: Literal["card", "host"]) -> "CardIndex":
        """With the exact vectors on the card, or on the host.

        Raises:
            CapacityError: no kernel searches codes of this dimension.
        """
        params = IvfPqParams.for_rows(rows, dimension)
        shape = CardShape(rows, dimension, params.nlist, params.m, "cosine")
        try:
            budget = _least_budget(shape, home)
        except DeviceError as error:
            raise CapacityError(str(error)) from error
        served, rebuilt = _both(shape, budget)
        host = rows * (dimension * _FLOAT32 + params.m + _ID_BYTES)
        return cls(rows, dimension, served, rebuilt, budget, host)

    @property
    def index(self) -> Amount:
        """Codes, ids, centroids, and the exact vectors where they are on the card."""
        plan = self.served
        exact = f", and exact vectors in {plan.precision}" if plan.refine == "card" else "; exact vectors on the host"
        said = f"{self.rows:,} rows of {self.dimension}, {plan.backend}: codes, ids, centroids{exact} ({_SOURCE})"
        return Amount(plan.index_bytes + plan.refine_bytes, False, said)

    @property
    def scratch(self) -> Amount:
        """Set aside for searches."""
        return Amount(self.served.temp_bytes, False, f"temporary memory of FAISS, set aside for searches ({_SOURCE})")

    @property
    def rebuild(self) -> Amount:
        """The successor, while both are there."""
        return Amount(
            self.rebuilt.total_bytes, False, f"a second index beside the first while it is rebuilt ({_SOURCE})"
        )


def _least_budget(shape: CardShape, home: Literal["card", "host"]) -> int:
    """The smallest under which an index and its successor get the best kernels; and the card for ``card``.

    More is not always as good: exact vectors that find room on the card may leave too little for the successor. So for
    ``host`` it is looked for below that first.
    """
    backend = plan_card(shape, _ENDLESS, _ENDLESS, _BACKENDS).backend
    most = _ENDLESS
    if home == "host":
        below = _least(lambda budget: _takes_vectors(shape, budget), _ENDLESS) - 1
        most = below if _fit(shape, below, backend, home) else _ENDLESS
    return _least(lambda budget: _fit(shape, budget, backend, home), most)


def _least(is_enough: Callable[[int], bool], most: int) -> int:
    """The smallest that is, where every larger one up to ``most`` is."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return high


def _takes_vectors(shape: CardShape, budget: int) -> bool:
    """Whether the exact vectors are on the card."""
    try:
        return plan_card(shape, _ENDLESS, budget, _BACKENDS).refine == "card"
    except InsufficientMemoryError:
        return False


def _fit(shape: CardShape, budget: int, backend: Backend, home: Literal["card", "host"]) -> bool:
    try:
        both = _both(shape, budget)
    except InsufficientMemoryError:
        return False
    return all(each.backend == backend and (home == "host" or each.refine == "card") for each in both)


def _both(shape: CardShape, budget: int) -> tuple[GpuPlan, GpuPlan]:
    """As they would be placed one after the other."""
    served = plan_card(shape, _ENDLESS, budget, _BACKENDS)
    return served, plan_card(shape, _ENDLESS, max(0, budget - served.total_bytes), _BACKENDS)
