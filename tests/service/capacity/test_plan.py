"""The ledger of every card: that it adds up, and what is chosen."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from indexes.gpu_plan import CardShape, plan_card
from indexes.ivf_pq_params import IvfPqParams
from service.capacity.advice import advice
from service.capacity.card_index import CardIndex
from service.capacity.errors import PlacementError
from service.capacity.model_server import ModelServer
from service.capacity.node import Devices, Node
from service.capacity.placement import Placement, needs_of, placements
from service.capacity.plan import Plan, best_plan

Served = Callable[..., ModelServer]
Nodes = Callable[..., Node]
GIB = 1 << 30


def amounts(plan: Plan, device: int = 0) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in plan.cards[device].lines:
        found[line.component] += line.amount.bytes
    return found


def test_the_lines_add_up_to_the_card_and_nothing_is_left_over(node: Nodes, served: Served) -> None:
    plan = best_plan(node(141, served("llama-3.1-8b")))
    (model,) = plan.served
    found = amounts(plan)
    assert plan.fits
    assert found.keys() == {
        *("embedder_weights", "embedder_peak", "index", "index_scratch", "rebuild_headroom", "cuda_context"),
        *("llm_weights", "llm_activations", "llm_kv_cache", "headroom"),
    }
    assert found.total() == plan.cards[0].total_bytes <= 141 * GIB
    assert plan.cards[0].left_bytes < 1 << 20  # caches are whole MiB
    assert found["llm_weights"] == 2 * 8_030_261_248
    assert found["headroom"] == int(0.03 * 141 * GIB)
    assert model.kv_bytes == found["llm_kv_cache"]
    assert (model.tokens, model.sequences) == (model.kv_bytes // (131_072 * 16) * 16, model.tokens // 8192)


def test_a_small_card_keeps_two_gib_free(node: Nodes) -> None:
    assert amounts(best_plan(node(24, rows=1_000_000)))["headroom"] == 2 * GIB


def test_every_process_has_a_context_on_each_of_its_cards(node: Nodes, served: Served) -> None:
    plan = best_plan(node(80, served("llama-3.1-8b"), served("mixtral-8x7b"), cards=2))
    for card in plan.cards:
        contexts = [line.tenant for line in card.lines if line.component == "cuda_context"]
        assert sorted(contexts) == sorted({line.tenant for line in card.lines if line.tenant})


def test_the_share_covers_all_that_vllm_takes_and_never_what_is_others(node: Nodes, served: Served) -> None:
    plan = best_plan(node(80, served("llama-3.1-8b"), rows=1_000_000))
    found = amounts(plan)
    share = plan.served[0].allotment.gpu_memory_utilization
    own = found["llm_weights"] + found["llm_activations"] + found["llm_kv_cache"]
    assert share is not None
    assert own / (80 * GIB) - 0.001 < share <= own / (80 * GIB)
    assert plan.served[0].allotment.kv_cache_bytes == found["llm_kv_cache"]


@pytest.mark.parametrize("home", ["card", "host"])
@pytest.mark.parametrize(("rows", "dimension"), [(1_000_000, 768), (100_000_000, 1024), (1_000_000_000, 384)])
def test_an_index_and_its_successor_are_placed_as_planned_within_the_budget(
    rows: int, dimension: int, home: str
) -> None:
    """By the function that places them, on a card with just that budget."""
    index = CardIndex.of(rows, dimension, "card" if home == "card" else "host")
    params = IvfPqParams.for_rows(rows, dimension)
    shape = CardShape(rows, dimension, params.nlist, params.m, "cosine")
    first = plan_card(shape, 8192 * GIB, index.device_bytes, ("cuvs", "classic"))
    left = index.device_bytes - first.total_bytes
    second = plan_card(shape, 8192 * GIB - first.total_bytes, left, ("cuvs", "classic"))
    assert (first.refine, second.refine, first.backend, second.backend) == (home, home, "cuvs", "cuvs")
    taken = index.index.bytes + index.scratch.bytes + index.rebuild.bytes
    assert first.total_bytes + second.total_bytes == taken <= index.device_bytes


def test_exact_vectors_go_to_the_host_where_the_cache_needs_the_card(node: Nodes, served: Served) -> None:
    roomy, tight = (best_plan(node(gib, served("llama-3.1-8b"))) for gib in (141, 80))
    assert roomy.index is not None
    assert tight.index is not None
    assert (roomy.index.served.refine, tight.index.served.refine) == ("card", "host")
    asked = best_plan(node(80, served("llama-3.1-8b"), refine="card"))
    assert asked.index is not None
    assert asked.index.served.refine == "card"
    assert asked.served[0].tokens < tight.served[0].tokens


def test_more_rows_never_leave_more_room(node: Nodes, served: Served) -> None:
    tokens = [
        best_plan(node(141, served("llama-3.1-8b"), rows=rows, refine="card")).served[0].tokens
        for rows in (10**5, 10**6, 5 * 10**6, 10**7)
    ]
    assert tokens == sorted(tokens, reverse=True)


def test_two_cards_share_a_model_that_is_too_large_for_one(node: Nodes, served: Served) -> None:
    one, two = (best_plan(node(141, served("llama-3.1-70b"), cards=cards)) for cards in (1, 2))
    assert not one.fits
    assert two.fits
    assert two.served[0].devices == (0, 1)
    assert two.served[0].settings.managed is not None
    assert two.served[0].settings.managed.devices == (0, 1)


def test_the_placement_with_most_cache_is_chosen(node: Nodes, served: Served) -> None:
    """Held to every choice of cards, written down one by one."""
    chosen = best_plan(node(40, served("llama-3.1-8b"), cards=2, refine="host")).served[0]
    by_hand = []
    for devices in ((0,), (1,), (0, 1)):
        pinned = node(40, served("llama-3.1-8b", devices=devices), cards=2, refine="host")
        placed = replace(pinned, retrieval=replace(pinned.retrieval, devices=Devices(0, 0)))
        by_hand.append(best_plan(placed).served[0].tokens)
    assert chosen.tokens == max(by_hand)


def test_cards_that_heads_cannot_be_shared_by_stay_out(node: Nodes, served: Served) -> None:
    assert len(best_plan(node(80, served("llama-3.1-8b"), cards=3)).served[0].devices) == 2
    with pytest.raises(PlacementError, match="3 cards cannot share them evenly"):
        best_plan(node(80, served("llama-3.1-8b", devices=(0, 1, 2)), cards=3))


def test_devices_that_are_pinned_are_kept(node: Nodes, served: Served) -> None:
    pinned = node(80, served("llama-3.1-8b", devices=(1,)), cards=2)
    plan = best_plan(replace(pinned, retrieval=replace(pinned.retrieval, devices=Devices(None, 1))))
    assert plan.served[0].devices == (1,)
    assert {line.component for line in plan.cards[0].lines} == {"headroom"}
    assert "embedder_weights" not in amounts(plan, 1)
    assert amounts(plan, 1)["index"] > 0


def test_a_device_that_is_not_there_is_named(node: Nodes, served: Served) -> None:
    with pytest.raises(PlacementError, match=r"cuda:2 is asked for, and there are 2 cards"):
        best_plan(node(80, served("llama-3.1-8b", devices=(2,)), cards=2))


def test_a_cache_of_a_set_size_is_that_size(node: Nodes, served: Served) -> None:
    servers = served("llama-3.1-8b", kv_cache_bytes=2 * GIB), served("qwen3-0.6b")
    plan = best_plan(node(80, *servers, rows=1000))
    assert plan.served[0].kv_bytes == 2 * GIB
    assert plan.cards[0].left_bytes < 1 << 20
    assert plan.fits
    too_much = best_plan(node(80, served("llama-3.1-8b", kv_cache_bytes=80 * GIB), rows=1000))
    assert not too_much.fits


def test_a_context_that_has_no_room_does_not_fit(node: Nodes, served: Served) -> None:
    assert not best_plan(node(24, served("llama-3.1-8b", context=131_072), rows=1000)).fits
    assert best_plan(node(24, served("llama-3.1-8b", context=8192), rows=1000)).fits


def test_advice_is_what_was_tried_and_fits(node: Nodes, served: Served) -> None:
    plan = best_plan(node(24, served("llama-3.1-8b")))
    assert not plan.fits
    said = advice(plan)
    assert "llama-3.1-8b: a context of 4096 tokens instead of 8192" in said
    assert best_plan(node(24, served("llama-3.1-8b", context=4096))).fits
    (rows,) = [int(text.split(" rows")[0].replace(",", "")) for text in said if "rows at most" in text]
    assert best_plan(node(24, served("llama-3.1-8b"), rows=rows)).fits
    assert not best_plan(node(24, served("llama-3.1-8b"), rows=int(rows * 1.1))).fits
    assert any("--gpus 2" in text for text in said)


def test_advice_that_would_not_help_is_not_given(node: Nodes, served: Served) -> None:
    said = advice(best_plan(node(141, served("llama-3.1-70b"))))
    assert not [text for text in said if "context" in text or "rows" in text or "--kv-dtype" in text]
    assert any("--quantization fp8" in text for text in said)
    assert advice(best_plan(node(3, served("llama-3.1-70b")))) == []


def test_changes_that_help_only_together_are_told_together(node: Nodes, served: Served) -> None:
    plan = best_plan(node(77, served("llama-3.1-70b", context=131_072), refine="card"))
    pinned = replace(plan.node, servers=(replace(plan.node.servers[0], devices=(0,)),))
    (said,) = advice(best_plan(pinned))
    assert said.startswith("together: ")
    assert "--refine host" in said
    assert "--quantization fp8" in said


def test_the_largest_tenant_goes_first_and_each_to_the_emptiest_cards(node: Nodes, served: Served) -> None:
    small, large = served("qwen3-0.6b"), served("llama-3.1-8b")
    wanted = node(80, small, large, cards=3)
    every = list(placements(wanted, needs_of(wanted), 5 * GIB))
    assert Placement(Devices(1, 1), ((2,), (0,))) in every
    assert Placement(Devices(2, 2), ((1, 2), (0,))) not in every  # the small one waits for the embedder and index
    assert Placement(Devices(2, 2), ((0, 2), (0, 1))) in every
