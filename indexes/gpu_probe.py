"""What this build of FAISS can do on GPUs, and which of them an index is to go to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss

from indexes.errors import DeviceError
from indexes.gpu_plan import Backend


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of a build of FAISS on a machine.

    Attributes:
        gpus: that it sees; 0 for a CPU build, and without a driver.
        backends: families of kernels it was built with.
    """

    gpus: int
    backends: tuple[Backend, ...]


def capabilities(library: Any = faiss) -> Capabilities:  # noqa: ANN401  the builds have one name and different symbols
    """What the library can do; asks attributes and the driver, runs nothing."""
    if not hasattr(library, "StandardGpuResources") or not hasattr(library, "GpuIndexIVFPQConfig"):
        return Capabilities(0, ())
    count: Callable[[], int] = library.get_num_gpus
    has_cuvs = hasattr(library.GpuIndexIVFPQConfig(), "use_cuvs") and "CUVS" in library.get_compile_options()
    return Capabilities(int(count()), ("cuvs", "classic") if has_cuvs else ("classic",))


def choose_device(wanted: str, able: Capabilities) -> str:
    """``wanted``, where ``auto`` is the first GPU that FAISS sees, else the CPU.

    Raises:
        DeviceError: it is neither ``auto``, ``cpu`` nor such a GPU.
    """
    gpus = [f"cuda:{i}" for i in range(able.gpus)]
    if wanted == "auto":
        return gpus[0] if gpus else "cpu"
    if wanted in {"cpu", *gpus}:
        return wanted
    there = ", ".join(["auto", "cpu", *gpus])
    built = "" if able.backends else ", and this build of FAISS knows no GPUs"
    raise DeviceError(f"index.device {wanted!r} is not there: there are {there}{built}")
