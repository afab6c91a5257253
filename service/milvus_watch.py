"""MilvusWatch: whether Milvus answers, as whoever looks there again and again has found."""

from typing import Protocol


class MilvusWatch(Protocol):
    """What looks."""

    @property
    def trouble(self) -> str | None:
        """Why the last look failed, or that there was none yet; None where it did not."""
