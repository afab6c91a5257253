"""Who holds the memory of a device: the entries of each add up to what was measured there."""

from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from service.telemetry.gpu import GpuState, RecordedGpus
from service.telemetry.ledger import Component, Entry, Ledger, LedgerMetrics, Total, balanced

PID = 4242
GIB = 1 << 30
CARD = "cuda:0"
SERVE = [
    Entry("cpu", Component.INDEX_VECTORS, 3 * GIB, "arrays", of="docs"),
    Entry("cpu", Component.INDEX_VECTORS, GIB, "arrays", of="mails"),
    Entry(CARD, Component.EMBEDDER_WEIGHTS, 2 * GIB, "tensors", of="m"),
    Entry(CARD, Component.EMBEDDER_PEAK, GIB, "PyTorch"),
    Entry(CARD, Component.INDEX_CODES, 6 * GIB, "FAISS"),
]
KV = Entry(CARD, Component.LLM_KV_CACHE, 40 * GIB, "settings", tenant="main")
Recorded = Callable[[str], RecordedGpus]


def of(ledger: Ledger, component: Component, device: str = CARD) -> int | None:
    found = [entry.bytes for entry in ledger.entries if (entry.device, entry.component) == (device, component)]
    return sum(found) if found else None


def used(ledger: Ledger) -> int:
    return sum(entry.bytes for entry in ledger.entries if entry.device == CARD)


def made(state: GpuState, entries: Sequence[Entry] = (*SERVE, KV)) -> Ledger:
    return balanced(entries, 5 * GIB, state, PID)


def test_the_host_adds_up_to_the_resident_set() -> None:
    ledger = made(GpuState(absent="no driver"), SERVE[:2])
    assert of(ledger, Component.UNATTRIBUTED, "cpu") == GIB
    assert ledger.totals == [Total("cpu", 5 * GIB, 4 * GIB, GIB)]


def test_every_byte_of_a_card_has_a_holder(recorded: Recorded) -> None:
    ledger = made(recorded("healthy").read())
    assert of(ledger, Component.UNATTRIBUTED) == GIB
    assert of(ledger, Component.LLM_KV_CACHE) == 40 * GIB
    assert of(ledger, Component.OTHER_PROCESSES) == 19 * GIB
    assert of(ledger, Component.HIDDEN_PROCESSES) == GIB
    assert used(ledger) == 70 * GIB
    _, card = ledger.totals
    assert (card.process_bytes, card.attributed_bytes, card.unattributed_bytes) == (10 * GIB, 9 * GIB, GIB)
    assert card.card is not None
    assert card.card.reserved


@pytest.mark.parametrize("recording", ["hidden_processes", "host_pids"])
def test_where_processes_are_hidden_the_card_is_one_rest(recorded: Recorded, recording: str) -> None:
    ledger = made(recorded(recording).read())
    assert of(ledger, Component.UNATTRIBUTED) == (70 - 9 - 40) * GIB
    assert of(ledger, Component.OTHER_PROCESSES) is None
    assert used(ledger) == 70 * GIB
    assert ledger.totals[1].process_bytes is None


def test_a_mig_instance_is_a_card_of_its_own(recorded: Recorded) -> None:
    ledger = made(recorded("mig").read(), SERVE[2:4])
    assert of(ledger, Component.UNATTRIBUTED) == 2 * GIB
    assert of(ledger, Component.HIDDEN_PROCESSES) == GIB
    assert used(ledger) == 6 * GIB


def test_a_planned_cache_that_nobody_holds_is_not_counted(recorded: Recorded) -> None:
    ledger = made(recorded("mig").read(), [*SERVE[2:4], KV])
    assert of(ledger, Component.LLM_KV_CACHE) is None
    assert used(ledger) == 6 * GIB


def test_a_card_that_this_process_leaves_alone(recorded: Recorded) -> None:
    ledger = balanced([], 0, recorded("healthy").read(), 1)
    assert of(ledger, Component.UNATTRIBUTED) == 0
    assert of(ledger, Component.OTHER_PROCESSES) == 69 * GIB
    assert used(ledger) == 70 * GIB


@pytest.mark.parametrize("state", [GpuState(absent="no driver"), "lost"])
def test_without_a_measure_there_is_no_rest(recorded: Recorded, state: GpuState | str) -> None:
    gpus = state
    if isinstance(gpus, str):
        reader = recorded(gpus)
        reader.read()
        gpus = reader.read()
    ledger = made(gpus)
    assert [entry.component for entry in ledger.entries if entry.device == CARD] == [
        entry.component for entry in SERVE if entry.device == CARD
    ]
    assert ledger.totals[1] == Total(CARD, None, 9 * GIB, None)


def test_the_gauge_adds_up_collections_and_forgets(recorded: Recorded) -> None:
    registry = CollectorRegistry()
    metrics = LedgerMetrics(registry)
    metrics.follow(made(recorded("healthy").read()))
    sample = {"device": "cpu", "component": "index_vectors"}
    assert registry.get_sample_value("quarry_ledger_bytes", sample) == 4 * GIB
    metrics.follow(made(GpuState(), []))
    assert registry.get_sample_value("quarry_ledger_bytes", sample) is None
