"""The plan of what the settings describe, and what ``quarry up`` gives a model server by it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.capacity.allotment import Allotment
from service.capacity.configuration import allotment, argument, node_of, server_of
from service.capacity.errors import CapacityError, PlacementError
from service.capacity.node import Devices
from service.capacity.plan import best_plan
from service.settings import Settings

GIB = 1 << 30


@pytest.fixture
def settings(tmp_path: Path, shape: Callable[..., dict[str, Any]]) -> Callable[..., Settings]:
    """One managed Llama-3.1-8B as ``main``; sections of further settings."""
    import json  # noqa: PLC0415

    (tmp_path / "config.json").write_text(json.dumps(shape("llama-3.1-8b")))

    def make(managed: dict[str, Any] | None = None, **sections: Any) -> Settings:  # noqa: ANN401
        main = {"model": "llama", "managed": {"weights": str(tmp_path), **(managed or {})}}
        return Settings.model_validate({"llm": {"main": main}, **sections})

    return make


def test_without_a_gpu_nothing_is_allotted(settings: Callable[..., Settings]) -> None:
    assert allotment(settings(), "main", None) == Allotment(None, None)


def test_the_index_reserves_its_limit_or_half_of_what_the_embedder_leaves(settings: Callable[..., Settings]) -> None:
    limited = allotment(settings(index={"device_bytes": 10 * GIB}), "main", 141 * GIB).kv_cache_bytes
    halved = allotment(settings(), "main", 141 * GIB).kv_cache_bytes
    alone = allotment(settings(index={"device": "cpu"}), "main", 141 * GIB).kv_cache_bytes
    assert limited is not None
    assert halved is not None
    assert alone is not None
    assert alone - limited == 10 * GIB
    assert alone - halved == pytest.approx((141 - 1.1) / 2 * GIB, rel=0.01)


def test_it_is_what_the_plan_says(settings: Callable[..., Settings]) -> None:
    plan = best_plan(node_of(settings(), 80 * GIB, 1, 1_000_000, None))
    assert allotment(settings(), "main", 80 * GIB, rows=1_000_000) == plan.served[0].allotment
    assert plan.node.retrieval.dimension == 384


def test_a_set_cache_and_other_cards_are_kept(settings: Callable[..., Settings]) -> None:
    given = settings({"kv_cache_bytes": 4 * GIB, "devices": (1, 2)})
    assert allotment(given, "main", 80 * GIB, cards=3).kv_cache_bytes == 4 * GIB
    with pytest.raises(PlacementError, match="cuda:2 is asked for, and there are 2 cards"):
        allotment(given, "main", 80 * GIB, cards=2)


def test_what_does_not_fit_says_by_how_much_and_what_to_set(settings: Callable[..., Settings]) -> None:
    with pytest.raises(CapacityError, match=r"llm.main does not fit.* GiB are missing.*index.device_bytes"):
        allotment(settings(), "main", 24 * GIB)


def test_a_cache_too_small_for_a_sequence_is_told_as_that(settings: Callable[..., Settings]) -> None:
    with pytest.raises(CapacityError, match=r"of a card of 80.00 GiB holds no sequence of 8192 tokens") as raised:
        allotment(settings({"kv_cache_bytes": 1 << 20}), "main", 80 * GIB)
    assert "missing" not in str(raised.value)


def test_devices_are_those_of_the_settings(settings: Callable[..., Settings]) -> None:
    def devices(embedding: str, index: str) -> Devices | None:
        given = settings(embedding={"device": embedding}, index={"device": index})
        return node_of(given, GIB, 4, None, None).retrieval.devices

    assert devices("auto", "auto") == Devices(0, 0)
    assert devices("cpu", "cuda:3") == Devices(None, 3)
    with pytest.raises(PlacementError, match="'mps'"):
        devices("mps", "cpu")


def test_what_further_arguments_change_is_planned(settings: Callable[..., Settings]) -> None:
    plain = server_of(settings(), "main")
    args = ["--kv_cache_dtype=fp8", "--max-model-len", "4096", "--max-num-seqs", "8", "--enforce-eager"]
    server = server_of(settings({"args": [*args, "--max-num-batched-tokens", "512", "-q", "fp8"]}), "main")
    assert (plain.context, plain.sequences, plain.kv_dtype, plain.captures) == (8192, 64, "auto", True)
    assert (server.context, server.sequences, server.kv_dtype, server.captures) == (4096, 8, "fp8", False)
    assert server.batch(141 * GIB) == 512
    assert server.model.weights(1).bytes < 0.6 * plain.model.weights(1).bytes
    with pytest.raises(PlacementError, match="1 devices, and its arguments want 2"):
        server_of(settings({"args": ["-tp", "2"]}), "main")


def test_the_last_value_of_an_argument_counts() -> None:
    words = ["--a-b", "1", "--a_b=2", "-c", "3", "--d"]
    assert [argument(words, *names) for names in (("--a-b",), ("--a-b", "-c"), ("--d",), ("--e",))] == [
        "2",
        "3",
        None,
        None,
    ]


def test_a_reranker_and_further_embedders_are_in_the_plan(
    settings: Callable[..., Settings], tiny_embedder: Path, tiny_reranker: Path
) -> None:
    given = settings(embedding={"also": [str(tiny_embedder)]}, rerank={"model": str(tiny_reranker)})
    names = [embedder.name for embedder in node_of(given, GIB, 1, None, None).retrieval.embedders]
    assert names == ["all-MiniLM-L6-v2", tiny_embedder.name, tiny_reranker.name]


def test_planning_loads_neither_torch_nor_faiss() -> None:
    code = (
        "import sys, service.capacity.advice, service.capacity.configuration, service.up.vllm_command;"
        "print([name for name in ('torch', 'faiss', 'transformers', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
