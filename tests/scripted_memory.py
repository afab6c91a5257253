"""Memory of which as much is taken as a test says."""

from dataclasses import dataclass, field

from service.watermark import Filling

LIMIT = 1_000_000
# For servers in processes of their own: what else the machine does must not hold their bulk work.
UNMARKED = {"QUARRY_LIMITS__MEMORY_LOW": "1", "QUARRY_LIMITS__MEMORY_HIGH": "1"}


@dataclass
class ScriptedMemory:
    """Nobody's test depends on what else the machine does.

    Attributes:
        shares: by device.
        given_back: how often.
    """

    shares: dict[str, float] = field(default_factory=lambda: {"cpu": 0.5})
    given_back: int = 0

    async def read(self) -> list[Filling]:
        return [Filling(device, int(share * LIMIT), LIMIT) for device, share in self.shares.items()]

    async def give_back(self) -> None:
        self.given_back += 1
