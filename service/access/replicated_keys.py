"""ReplicatedKeys: the keys of another process, as far as this one was told of them."""

import math
import time
from collections.abc import Callable, Mapping

from service.access.key import Key, NewKey, Presented, configured_key
from service.access.key_book import shown_key
from service.errors import KeyConflictError, KeysUnavailableError, UnauthenticatedError

_ELSEWHERE = "this server takes its keys from another, by way of Redis: make and revoke them there"


class ReplicatedKeys:
    """A key book that somebody else writes. What was told last holds until something else is told.

    Args:
        admin: as for ``Keys``; it holds whatever is told.
        keep_s: after it what was not told again opens nothing; None is never.
        clock: seconds, monotonic.
    """

    def __init__(
        self, admin: str | None = None, keep_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._admin = configured_key(admin)
        self._keep_s = math.inf if keep_s is None else keep_s
        self._clock = clock
        self._told_at: float | None = None
        self._begun_at = clock()
        self._keys: Mapping[str, Key] = {}

    def tell(self, keys: Mapping[str, Key]) -> None:
        """From now on these are the keys, by id."""
        self._keys = dict(keys)
        self.confirm()

    def confirm(self) -> None:
        """Those that were told last are the keys."""
        self._told_at = self._clock()

    @property
    def age_s(self) -> float:
        """Since the keys were last known to be these; since the beginning where they never were."""
        return self._clock() - (self._begun_at if self._told_at is None else self._told_at)

    @property
    def are_needed(self) -> bool:
        """Whatever is known: a server that was told nothing yet lets nobody in for that."""
        return True

    @property
    def trouble(self) -> str | None:
        """As ``KeyBook.trouble``."""
        if self._told_at is None:
            return "no process has published keys yet that this one could read"
        if self.age_s > self._keep_s:
            return f"keys are {self.age_s:.0f} s old; access.keep_keys_s is {self._keep_s:g}"
        return None

    @property
    def holding(self) -> list[Key]:
        """As ``KeyBook.holding``."""
        return [key for key in self.listed() if not key.is_revoked]

    def listed(self) -> list[Key]:
        """As ``KeyBook.listed``."""
        return sorted(self._keys.values(), key=lambda key: key.created_at)

    def get(self, key_id: str) -> Key | None:
        """As ``KeyBook.get``."""
        return self._keys.get(key_id)

    def shown(self, text: str) -> Key:
        """As ``KeyBook.shown``."""
        trouble = self.trouble
        try:
            return shown_key(text, {} if trouble else self._keys, self._admin)
        except UnauthenticatedError as error:
            if trouble:
                raise KeysUnavailableError(f"nobody can tell who holds a key: {trouble}") from error
            raise

    def create(self, new: NewKey, *, leaving_admin: bool = False) -> tuple[Key, Presented]:
        """Refused.

        Raises:
            KeyConflictError: always.
        """
        raise KeyConflictError(_ELSEWHERE)

    def revoke(self, key_id: str, *, leaving_admin: bool = False) -> Key:
        """As ``create``."""
        raise KeyConflictError(_ELSEWHERE)
