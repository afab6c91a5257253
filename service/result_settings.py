"""Settings of the cache of results."""

from typing import Literal

from pydantic import Field

from service.settings_group import Group


class ResultSettings(Group):
    """Whether the chunks that a question found are remembered.

    Attributes:
        cache: ``process`` is this one's memory; ``redis`` is shared with other processes.
        cache_bytes: of all that is remembered; the oldest goes first.
        cache_s: longest time that a result is remembered.
    """

    cache: Literal["off", "process", "redis"] = "off"
    cache_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    cache_s: float = Field(300, gt=0, le=86_400, allow_inf_nan=False)
