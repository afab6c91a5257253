"""The ledger in /v1/status and /metrics: of this machine's memory, and of a recorded card's."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.base import Embedder
from models.hashing import HashingEmbedder
from service.telemetry.gpu import RecordedGpus

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
DIMENSION = 64
NDJSON = {"content-type": "application/x-ndjson"}
RECORDINGS = Path(__file__).parents[1] / "telemetry" / "fixtures"


def ledger(api: httpx.Client) -> dict[str, Any]:
    body: dict[str, Any] = api.get("/v1/status").json()["ledger"]
    return body


def component(api: httpx.Client, name: str, device: str = "cpu") -> int:
    found = [e["bytes"] for e in ledger(api)["entries"] if (e["device"], e["component"]) == (device, name)]
    return sum(found)


def gauges(api: httpx.Client, name: str) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(api.get("/metrics").text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in found}


def ingest(api: httpx.Client, count: int) -> None:
    lines = "\n".join(f'{{"id": "d{i}", "text": "Bees of hive {i}."}}' for i in range(count))
    assert api.post("/v1/collections/docs/documents:batch", content=lines, headers=NDJSON).is_success


def test_components_and_the_rest_are_the_resident_set(open_api: OpenApi, embedder: Embedder) -> None:
    with open_api(embedder) as api:
        ingest(api, 3)
        assert api.post("/v1/search", json={"query": "bees", "collection": "docs"}).is_success
        found = ledger(api)
        (host,) = found["totals"]
        assert sum(entry["bytes"] for entry in found["entries"]) == host["process_bytes"]
        assert host["attributed_bytes"] + host["unattributed_bytes"] == host["process_bytes"]
        assert host["unattributed_bytes"] > 0  # the interpreter and its libraries, at the least
        # Of this very process, as the system has it, as far as that moves between two looks at it.
        assert host["process_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
        (weights,) = [entry for entry in found["entries"] if entry["component"] == "embedder_weights"]
        assert (weights["of"], weights["bytes"]) == (embedder.info.name, embedder.info.weights_bytes)
        assert component(api, "query_cache") > embedder.info.dimension * 4


def test_an_ingest_grows_the_index_by_its_vectors(open_api: OpenApi) -> None:
    with open_api(HashingEmbedder(DIMENSION), index={"seal_rows": 256}) as api:
        ingest(api, 10)
        before = component(api, "index_vectors")
        ingest(api, 300)
        grown = component(api, "index_vectors") - before
        vectors = 290 * DIMENSION * 4
        assert vectors < grown < 2 * vectors  # and each row's other columns
        assert api.post("/v1/collections/docs:rebuild").is_success
        assert component(api, "index_codes") > 0
        status = api.get("/v1/status").json()
        index = component(api, "index_codes") + component(api, "index_vectors")
        assert index == status["collections"]["docs"]["bytes"]
        api.delete("/v1/collections/docs")
        assert component(api, "index_vectors") == component(api, "index_codes") == 0


def test_the_gauge_has_what_the_status_has(open_api: OpenApi) -> None:
    with open_api() as api:
        ingest(api, 10)
        told = gauges(api, "quarry_ledger_bytes")
        assert told[_labels("index_vectors")] == component(api, "index_vectors")
        assert set(told) == {_labels(entry["component"]) for entry in ledger(api)["entries"]}


def _labels(name: str) -> tuple[str, ...]:
    return name, "cpu"  # in the order of the alphabet


@pytest.mark.parametrize("recording", ["healthy", "mig", "hidden_processes", "lost"])
def test_a_card_in_status_and_metrics(open_api: OpenApi, recording: str) -> None:
    reader = RecordedGpus.from_json((RECORDINGS / f"{recording}.json").read_bytes())
    with open_api(gpus=reader) as api:
        (gpu,) = api.get("/v1/status").json()["gpus"]["gpus"]
        assert gpu["device"] == "cuda:0"
        assert sum(b for (_, device), b in gauges(api, "quarry_ledger_bytes").items() if device == "cuda:0") == (
            gpu["memory"]["used"] if recording != "lost" else 0
        )
        assert gauges(api, "quarry_gpu_up") == {("cuda:0",): float(recording != "lost")}
    assert reader.is_closed


def test_without_a_driver_the_status_says_why(api: httpx.Client) -> None:
    gpus = api.get("/v1/status").json()["gpus"]
    assert gpus == {"gpus": [], "absent": "a test", "driver": None}


def test_the_planned_cache_of_a_managed_model_server(open_api: OpenApi, tmp_path: Path) -> None:
    reader = RecordedGpus.from_json((RECORDINGS / "hidden_processes.json").read_bytes())
    managed = {"weights": str(tmp_path), "kv_cache_bytes": 40 << 30, "devices": [0, 1]}
    with open_api(gpus=reader, llm={"main": {"model": "m", "managed": managed}}) as api:
        (kept,) = [entry for entry in ledger(api)["entries"] if entry["tenant"] == "main"]
        assert (kept["device"], kept["component"], kept["bytes"]) == ("cuda:0", "llm_kv_cache", 40 << 30)
