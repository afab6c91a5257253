"""The device that sealed rows are to be searched on, where one is wanted, and what it refused."""

from dataclasses import replace

from indexes.errors import IndexesError
from indexes.placement import ON_THE_HOST, Place, Placement
from indexes.rows import Rows
from indexes.view import Sealed


class SealedDevice:
    """Puts the sealed rows of one collection on the device; on one thread at a time, asked about from any.

    Args:
        name: of the device, for the status.
        place: puts an index there; None leaves every index on the CPU.
    """

    def __init__(self, name: str, place: Place | None) -> None:
        self._name = name
        self._place = place
        self._refused: tuple[Sealed | None, str] = (None, "")

    def placement(self, sealed: Sealed | None) -> Placement:
        """Where these rows are searched, and why there."""
        if sealed is not None and sealed.on_device is not None:
            return sealed.on_device.placement
        if self._place is None:
            return ON_THE_HOST
        refused, reason = self._refused
        why = f"not on {self._name}: {reason}" if refused is sealed else "waits for its turn to be placed"
        return replace(ON_THE_HOST, why=why)

    def lacks(self, sealed: Sealed | None) -> bool:
        """They could be searched there and are not; what it refused waits for the next index."""
        wanted = self._place is not None and sealed is not None and sealed.on_device is None
        return wanted and self._refused[0] is not sealed

    def placed(self, sealed: Sealed, rows: Rows) -> Sealed:
        """On the device beside what is there now; on the host where both do not fit, until that is gone."""
        if self._place is None:
            return sealed
        try:
            return replace(sealed, on_device=self._place(sealed.index, rows, sealed.on_device))
        except IndexesError:
            return replace(sealed, on_device=None)

    def placed_alone(self, sealed: Sealed, rows: Rows) -> Sealed | None:
        """On the device with nothing beside it; None where it is refused, and not asked for again."""
        if self._place is None:
            return None
        try:
            return replace(sealed, on_device=self._place(sealed.index, rows, None))
        except IndexesError as error:
            self._refused = sealed, str(error)
            return None
