"""Models against the disk and against what is stored; and a server that has them already."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
import pytest

from indexes.base import Chunk, Document
from indexes.catalog import Catalog
from indexes.data_directory import is_owned
from indexes.spec import CollectionSpec
from indexes.stored_specs import stored_specs
from indexes.upkeep import IndexPolicy
from models.base import Embedder
from models.hashing import HashingEmbedder
from service.doctor.check import Finding, Status
from service.doctor.embedding import look_at_device, look_at_models
from service.doctor.running_server import RunningServer
from service.settings import Settings

Failed = Callable[[Iterable[Finding]], Finding]
NOBODY = RunningServer(False, "http://127.0.0.1:9")


def stored(data_dir: Path, spec: CollectionSpec) -> None:
    """A data directory with one collection."""
    catalog = Catalog(data_dir, IndexPolicy(256))
    collection, _ = catalog.ensure("docs", spec)
    vectors = np.eye(1, spec.dimension, dtype=np.float32)
    chunk = Chunk("a", 0, "Words.", 0, 6)
    collection.put(Document("a", "", "Words.", {}, None, "text", b"hash"), [chunk], vectors, collection.accept())
    catalog.close()


def of(embedder: Embedder, **changes: object) -> CollectionSpec:
    info = embedder.info
    made = {"embedding_model": info.name, "fingerprint": info.fingerprint, "dimension": info.dimension}
    return CollectionSpec(**{**made, "chunk_size": 100, "chunk_overlap": 20, **changes})


def served(embedder: Embedder) -> RunningServer:
    status = {"version": "1", "embedders": [asdict(embedder.info)], "engine": {"trouble": None}, "degraded": []}
    return RunningServer(True, "http://quarry", status)


def test_the_bundled_model_is_run(tmp_path: Path) -> None:
    found = list(look_at_models(Settings(data_dir=tmp_path), NOBODY))
    assert [finding.status for finding in found] == [Status.OK] * 3
    assert "a forward gave 384 numbers on cpu" in found[1].found


def test_a_model_that_is_not_there(tmp_path: Path, failed: Failed) -> None:
    settings = Settings(data_dir=tmp_path, embedding={"model": str(tmp_path / "nothing")})
    found = failed(look_at_models(settings, NOBODY))
    assert (found.name, found.found.partition(":")[0]) == ("embedder nothing", "ModelNotFoundError")


def test_weights_that_are_pickled(tmp_path: Path, failed: Failed) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name in ("modules.json", "pytorch_model.bin"):
        (folder / name).write_text("[]")
    settings = Settings(data_dir=tmp_path, embedding={"model": str(folder)})
    assert "UnsafeModelError" in failed(look_at_models(settings, NOBODY)).found


def test_a_reranker(tmp_path: Path, tiny_embedder: Path, tiny_reranker: Path, failed: Failed) -> None:
    embedding = {"model": str(tiny_embedder), "dtype": "float32"}
    settings = Settings(data_dir=tmp_path, embedding=embedding, rerank={"model": str(tiny_reranker)})
    found = {finding.name: finding for finding in look_at_models(settings, NOBODY)}
    assert "a forward ran on cpu, float32" in found["reranker tiny-reranker"].found
    missing = Settings(data_dir=tmp_path, embedding=embedding, rerank={"model": str(tmp_path / "nothing")})
    assert failed(look_at_models(missing, NOBODY)).name == "reranker nothing"


def test_collections_of_a_served_embedder(tmp_path: Path, embedder: Embedder) -> None:
    stored(tmp_path, of(embedder))
    found = {finding.name: finding for finding in look_at_models(Settings(data_dir=tmp_path), served(embedder))}
    assert found["collection docs"].status is Status.OK
    assert "the running server has it on cpu" in found[f"embedder {embedder.info.name}"].found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dimension": 32, "fingerprint": "another"}, "32 dimensions by 'hashing' (another); the one that is served"),
        ({"fingerprint": "another"}, "another model of that name"),
        ({"embedding_model": "e5", "fingerprint": "another"}, "by 'e5' (another), which is not served"),
    ],
)
def test_collections_of_another_embedder(tmp_path: Path, failed: Failed, changes: dict[str, object], said: str) -> None:
    embedder = HashingEmbedder()
    stored(tmp_path, of(embedder, **changes))
    found = failed(look_at_models(Settings(data_dir=tmp_path), served(embedder)))
    assert found.name == "collection docs"
    assert said in found.found


def test_a_catalogue_that_cannot_be_read(tmp_path: Path, failed: Failed) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database at all" * 100)
    assert "cannot be read" in failed(look_at_models(Settings(data_dir=tmp_path), served(HashingEmbedder()))).found


def test_specs_are_read_while_a_process_has_the_directory(tmp_path: Path) -> None:
    spec = of(HashingEmbedder())
    assert stored_specs(tmp_path) == {}
    assert not is_owned(tmp_path)
    catalog = Catalog(tmp_path, IndexPolicy(256))
    catalog.ensure("docs", spec)
    assert is_owned(tmp_path)
    assert stored_specs(tmp_path) == {"docs": spec}
    catalog.close()
    assert not is_owned(tmp_path)
    assert stored_specs(tmp_path) == {"docs": spec}


def test_devices(failed: Failed) -> None:
    assert "'cuda:7' is not there" in failed(look_at_device(Settings(embedding={"device": "cuda:7"}), 0)).found
    (found,) = look_at_device(Settings(embedding={"device": "cpu"}), 1)
    assert found.status is Status.OK
    (found,) = look_at_device(Settings(), 0)
    assert found.status is Status.OK


def test_a_gpu_that_pytorch_leaves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.doctor.embedding.choose_device", lambda _: "cpu")
    (found,) = look_at_device(Settings(), 2)
    assert (found.status, "sees 2 GPU(s)" in found.found) == (Status.WARNING, True)


def test_a_server_that_runs_is_asked(listening: Callable[..., str], tmp_path: Path) -> None:
    url = listening()
    server = RunningServer.looked_for(tmp_path / "served", url)
    (found,) = server.findings()
    assert (found.status, url in found.found) == (Status.OK, True)
    (info,) = server.embedders() or []
    assert info.fingerprint == HashingEmbedder().info.fingerprint


def test_a_server_that_does_not_answer_there(tmp_path: Path, model_server: Callable[..., str]) -> None:
    catalog = Catalog(tmp_path, IndexPolicy(256))
    server = RunningServer.looked_for(tmp_path, model_server(status=500))
    catalog.close()
    (found,) = server.findings()
    assert (found.status, "--url" in found.advice) == (Status.WARNING, True)
    assert server.embedders() is None


def test_nobody_has_the_directory(tmp_path: Path) -> None:
    assert next(RunningServer.looked_for(tmp_path, "http://127.0.0.1:9").findings()).status is Status.OK


def test_what_a_server_says_of_itself(failed: Failed) -> None:
    status = {"engine": {"trouble": "lost"}, "collections": {"docs": {"trouble": []}}}
    assert "lost" in failed(RunningServer(True, "http://quarry", status).findings()).found
    damaged = {"engine": {"trouble": None}, "collections": {"docs": {"unavailable": "store.db is missing"}}}
    assert failed(RunningServer(True, "http://quarry", damaged).findings()).found == "store.db is missing"
    degraded, _ = RunningServer(
        True, "http://quarry", {"degraded": ["llm"], "collections": {"docs": {"trouble": ["index is damaged"]}}}
    ).findings()
    assert (degraded.status, "llm" in degraded.found) == (Status.WARNING, True)


def test_a_url_that_is_none(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, IndexPolicy(256))
    server = RunningServer.looked_for(tmp_path, "http://quarry:port")
    catalog.close()
    assert httpx.InvalidURL.__name__ in server.silence
