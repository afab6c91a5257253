"""Caller: whoever a request is made for."""

from dataclasses import dataclass

from service.access.key import Key
from service.access.rights import ALL, Rights

_KEY = "key:"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: whose share of the device a request counts against, and whose jobs are whose.
        key: that was shown; None on a server without keys.
    """

    name: str
    key: Key | None = None

    @classmethod
    def of(cls, key: Key) -> "Caller":
        """Whoever shows a key, wherever from."""
        return cls(f"{_KEY}{key.id}", key)

    @property
    def rights(self) -> Rights:
        """What it may."""
        return self.key.rights if self.key else ALL

    @property
    def realm(self) -> str:
        """What is remembered for a caller is told to no other realm, not even by being fast; one without keys."""
        return self.name if self.key else ""


def key_id_of(name: str) -> str | None:
    """The id in the name of a caller that showed a key; None in any other."""
    return name.removeprefix(_KEY) if name.startswith(_KEY) else None
