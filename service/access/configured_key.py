"""ConfiguredKey: the key book of a process that has one key, that of its settings."""

from service.access.key import Key, NewKey, Presented, configured_key
from service.access.key_book import shown_key
from service.errors import KeyConflictError

_ELSEWHERE = "this server has the key of access.admin_key alone: others are made and revoked at the writer"


class ConfiguredKey:
    """As ``KeyBook``.

    Args:
        secret: of ``access.admin_key``.
    """

    trouble = None
    are_needed = True

    def __init__(self, secret: str) -> None:
        self._key = configured_key(secret)

    @property
    def holding(self) -> list[Key]:
        """None that anybody made."""
        return []

    def listed(self) -> list[Key]:
        """None that anybody made."""
        return []

    def get(self, key_id: str) -> Key | None:
        """None that anybody made."""
        return None

    def shown(self, text: str) -> Key:
        """As ``KeyBook.shown``."""
        return shown_key(text, {}, self._key)

    def create(self, new: NewKey, *, leaving_admin: bool = False) -> tuple[Key, Presented]:
        """Refused.

        Raises:
            KeyConflictError: always.
        """
        raise KeyConflictError(_ELSEWHERE)

    def revoke(self, key_id: str, *, leaving_admin: bool = False) -> Key:
        """As ``create``."""
        raise KeyConflictError(_ELSEWHERE)
