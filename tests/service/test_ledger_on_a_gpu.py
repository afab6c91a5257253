"""The ledger against the card's own figures."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from models.base import Embedder
from service.app import create_app
from service.settings import Settings
from service.telemetry.gpu import GpuReader

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
CARD = "cuda:0"
SLACK = 256 << 20
ROWS = 20_000


def near(measured: int, expected: int) -> bool:
    """Within 5 % or 256 MiB."""
    return abs(measured - expected) <= max(SLACK, 0.05 * expected)


@pytest.fixture
def reader() -> GpuReader:
    from models.device import gpu_uuids  # noqa: PLC0415  starts CUDA
    from service.telemetry.nvml import open_gpus  # noqa: PLC0415

    return open_gpus(gpu_uuids())


def test_nvml_and_cuda_name_the_same_devices(reader: GpuReader) -> None:
    state = reader.read()
    assert state.absent is None
    gpu = next(gpu for gpu in state.gpus if gpu.device == CARD)
    assert gpu.memory is not None
    assert near(gpu.memory.total, torch.cuda.get_device_properties(0).total_memory)
    assert gpu.trouble is None


def test_each_component_by_its_allocator(open_api: OpenApi, tmp_path: Path, reader: GpuReader) -> None:
    from models.transformer import TransformerEmbedder  # noqa: PLC0415

    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(CARD)
    embedder: Embedder = TransformerEmbedder.load("all-MiniLM-L6-v2", device=CARD)
    torch.cuda.synchronize()
    allocated = torch.cuda.memory_allocated(CARD) - before
    assert near(embedder.info.weights_bytes, allocated)
    with open_api(embedder, gpus=reader, index={"seal_rows": 4096}) as api:
        for first in range(0, ROWS, 1000):
            lines = "\n".join(f'{{"id": "d{i}", "text": "Bees of hive {i}."}}' for i in range(first, first + 1000))
            headers = {"content-type": "application/x-ndjson"}
            assert api.post("/v1/collections/docs/documents:batch", content=lines, headers=headers).is_success
        assert api.post("/v1/collections/docs:rebuild").is_success
        status = api.get("/v1/status").json()
    here = [entry for entry in status["ledger"]["entries"] if entry["device"] == CARD]
    parts = {entry["component"]: entry["bytes"] for entry in here}
    (gpu,) = [gpu for gpu in status["gpus"]["gpus"] if gpu["device"] == CARD]
    assert sum(entry["bytes"] for entry in here) == gpu["memory"]["used"]
    in_pytorch = parts["embedder_weights"] + parts["embedder_peak"] + parts.get("index_vectors", 0)
    assert near(in_pytorch, torch.cuda.memory_reserved(CARD))
    placed = [s["placement"] for s in status["collections"]["docs"]["segments"] if "placement" in s]
    if placed and placed[0]["device"] == CARD:
        index = parts["index_codes"] + parts["index_vectors"] + parts["index_scratch"]
        assert near(index, placed[0]["device_bytes"])
    total = next(total for total in status["ledger"]["totals"] if total["device"] == CARD)
    if total["process_bytes"] is not None:  # a container may hide the process
        processes = {process["pid"]: process["bytes"] for process in gpu["processes"]}
        assert total["process_bytes"] in processes.values()
        assert total["attributed_bytes"] <= total["process_bytes"] + SLACK


def test_a_server_of_the_settings_reads_its_own_card(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient  # noqa: PLC0415

    with TestClient(create_app(Settings(data_dir=tmp_path, embedding={"device": CARD}))) as api:
        metrics = api.get("/metrics").text
        assert f'quarry_gpu_memory_bytes{{device="{CARD}",kind="used"}}' in metrics
        assert f'quarry_ledger_bytes{{component="embedder_weights",device="{CARD}"}}' in metrics


def test_the_marks_are_held_to_what_this_process_could_take_of_its_card(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient  # noqa: PLC0415

    with TestClient(create_app(Settings(data_dir=tmp_path, embedding={"device": CARD}))) as api:
        while CARD not in (devices := api.get("/v1/status").json()["memory"]["devices"]):
            pass
        memory = devices[CARD]
        free, total = torch.cuda.mem_get_info(0)
        idle = torch.cuda.memory_reserved(CARD) - torch.cuda.memory_allocated(CARD)
    assert 0 < memory["used"] < memory["limit"] <= total
    assert near(memory["limit"] - memory["used"], free + idle)
