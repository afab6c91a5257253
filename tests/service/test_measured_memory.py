"""How full devices are: the host by the system, a card by what this process could still take of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from service.measured_memory import MeasuredMemory
from service.telemetry.gpu import RecordedGpus
from service.telemetry.ledger import Component, Entry, Total, balanced
from service.watermark import Filling

RECORDINGS = Path(__file__).parent / "telemetry" / "fixtures"
PID = 4242
GIB = 1 << 30
CARD = "cuda:0"
OURS = [
    Entry(CARD, Component.EMBEDDER_WEIGHTS, 2 * GIB, "tensors"),
    Entry(CARD, Component.EMBEDDER_PEAK, GIB, "PyTorch"),
    Entry(CARD, Component.INDEX_CODES, 6 * GIB, "FAISS"),
]


class Cards:
    """What a measured ledger says of recorded cards, as of the second reading."""

    def __init__(self, recording: str, entries: Sequence[Entry]) -> None:
        gpus = RecordedGpus.from_json((RECORDINGS / f"{recording}.json").read_bytes())
        _, state = gpus.read(), gpus.read()
        self._totals = [total for total in balanced(entries, 0, state, PID).totals if total.device != "cpu"]
        self.uses_cards = bool(entries)
        self.asked = 0

    async def cards(self) -> Sequence[Total]:
        self.asked += 1
        return self._totals

    def card(self) -> Total:
        (total,) = self._totals
        return total


def read(cards: Cards) -> dict[str, Filling]:
    return {filling.device: filling for filling in asyncio.run(MeasuredMemory(cards).read())}  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch keeps half a GiB for the next forward."""
    monkeypatch.setattr("service.measured_memory.idle_bytes", lambda _: GIB // 2)


@pytest.mark.parametrize(("recording", "own"), [("healthy", 10 * GIB), ("hidden_processes", 9 * GIB)])
def test_of_a_card_counts_what_this_process_holds_and_could_have(recording: str, own: int) -> None:
    cards = Cards(recording, OURS)
    card = cards.card().card
    assert card is not None
    filling = read(cards)[CARD]
    # A model server has most of it, and that is nobody's trouble.
    assert card.used > 2 * own
    assert filling == Filling(CARD, own - GIB // 2, own + card.free)


def test_a_card_that_is_lost_or_not_used_is_left_out() -> None:
    assert set(read(Cards("lost", OURS))) == {"cpu"}
    others = Cards("healthy", [])
    assert set(read(others)) == {"cpu"}
    assert others.asked == 0  # the driver is not asked every second for nothing


def test_the_host_is_the_machine_or_its_control_group() -> None:
    host = read(Cards("healthy", []))["cpu"]
    assert host.used > 0
    assert 0 < host.limit <= psutil.virtual_memory().total
