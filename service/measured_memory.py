"""How full the memory of every device is that this process holds something of."""

from asyncio import to_thread
from collections.abc import Iterator, Sequence
from typing import Protocol

from indexes.memory import give_back_freed, host_memory
from models.memory import idle_bytes
from service.measured_ledger import MeasuredLedger
from service.telemetry.ledger import HOST, Total
from service.watermark import Filling


class Memory(Protocol):
    """What the marks are held to."""

    async def read(self) -> Sequence[Filling]:
        """Of each device, as of now; one that does not tell is left out."""

    async def give_back(self) -> None:
        """Let the system have what was freed and is kept."""


class MeasuredMemory:
    """Of the host what the system says, of a card what NVML and PyTorch's allocator do.

    A model server takes most of a card and keeps it, so that the card as a whole is full from the start. What counts is
    how much this process can still take.
    """

    def __init__(self, ledger: MeasuredLedger) -> None:
        self._ledger = ledger

    async def read(self) -> Sequence[Filling]:
        """As ``Memory`` has it."""
        host = await to_thread(host_memory)
        cards = await self._ledger.cards() if self._ledger.uses_cards else ()
        return [Filling(HOST, host.used, host.limit), *_of_cards(cards)]

    async def give_back(self) -> None:
        """Of the host's."""
        await to_thread(give_back_freed)


def _of_cards(cards: Sequence[Total]) -> Iterator[Filling]:
    for total in cards:
        if total.card is not None and total.attributed_bytes:
            own = total.attributed_bytes if total.process_bytes is None else total.process_bytes
            # What PyTorch keeps for the next forward is there for it.
            yield Filling(total.device, own - idle_bytes(total.device), own + total.card.free)
