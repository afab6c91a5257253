"""What a build of FAISS can do: fakes of three builds, and the names and fields of the one that is here."""

from types import SimpleNamespace

import faiss
import pytest

from indexes.errors import DeviceError
from indexes.gpu_ivf_pq import card_of, gpu_config
from indexes.gpu_plan import Backend, CardShape, plan_card
from indexes.gpu_probe import Capabilities, capabilities, choose_device

needs_gpu_build = pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources"), reason="needs a build of FAISS with GPU symbols"
)
SHAPE = CardShape(rows=1000, dimension=16, nlist=8, m=2, metric="cosine")


def build(gpus: int, options: str, **fields: object) -> SimpleNamespace:
    return SimpleNamespace(
        StandardGpuResources=object,
        GpuIndexIVFPQConfig=lambda: SimpleNamespace(**fields),
        get_num_gpus=lambda: gpus,
        get_compile_options=lambda: options,
    )


def test_a_cpu_build_sees_nothing() -> None:
    assert capabilities(SimpleNamespace(get_num_gpus=lambda: 3)) == Capabilities(0, ())


def test_a_cuvs_build_has_both_and_a_classic_one_has_one() -> None:
    assert capabilities(build(2, "GPU NVIDIA_CUVS ", use_cuvs=False)) == Capabilities(2, ("cuvs", "classic"))
    assert capabilities(build(1, "GPU ", use_cuvs=False)) == Capabilities(1, ("classic",))
    assert capabilities(build(1, "GPU NVIDIA_CUVS ")) == Capabilities(1, ("classic",))


@pytest.mark.parametrize(
    ("wanted", "gpus", "chosen"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cuda:1", 2, "cuda:1"), ("cpu", 2, "cpu")],
)
def test_the_device_is_chosen(wanted: str, gpus: int, chosen: str) -> None:
    assert choose_device(wanted, Capabilities(gpus, ("classic",))) == chosen


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"'cuda:2' is not there: there are auto, cpu, cuda:0, cuda:1$"):
        choose_device("cuda:2", Capabilities(2, ("classic",)))
    with pytest.raises(DeviceError, match="this build of FAISS knows no GPUs"):
        choose_device("cuda:0", Capabilities(0, ()))


def test_the_number_of_a_card() -> None:
    assert card_of("cuda:3") == 3


@needs_gpu_build
@pytest.mark.parametrize("backend", ["classic", "cuvs"])
def test_every_field_that_is_set_is_one_that_faiss_has(backend: Backend) -> None:
    plan = plan_card(SHAPE, 10**10, None, (backend,))
    config = gpu_config(plan, 1)
    known = dir(faiss.GpuIndexIVFPQConfig)  # type: ignore[attr-defined]
    used = (
        "device use_cuvs interleavedLayout useFloat16LookupTables useMMCodeDistance usePrecomputedTables indicesOptions"
    )
    assert [name for name in used.split() if name not in known] == []
    assert (config.device, config.use_cuvs) == (1, backend == "cuvs")
    ids = faiss.INDICES_64_BIT if backend == "cuvs" else faiss.INDICES_32_BIT  # type: ignore[attr-defined]
    assert config.indicesOptions == ids


@needs_gpu_build
def test_the_names_that_a_search_in_place_uses_are_there() -> None:
    for name in ("cast_integer_to_float_ptr", "cast_integer_to_idx_t_ptr", "cast_integer_to_cudastream_t"):
        assert callable(getattr(faiss, name))
    for name in ("search", "search_c", "getDevice"):
        assert callable(getattr(faiss.GpuIndexIVFPQ, name))  # type: ignore[attr-defined]
    for name in ("setTempMemory", "setDefaultStream", "revertDefaultStream"):
        assert callable(getattr(faiss.StandardGpuResources, name))  # type: ignore[attr-defined]
    assert capabilities().backends  # whether or not there is a driver
