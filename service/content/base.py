"""The seam: what screens questions before anything else sees them, and answers as they are written."""

from collections.abc import Sequence
from typing import Protocol


class AnswerScreen(Protocol):
    """Screens one answer. Fed in other pieces, the same text gives the same result."""

    @property
    def is_blocked(self) -> bool:
        """The answer ends with what was handed out so far; nothing is to be fed any more."""

    @property
    def decided(self) -> int:
        """Up to this offset of the text as it was fed it is fixed what is shown of it."""

    def feed(self, text: str) -> str:
        """What can be shown now, of this piece and of what was held back."""

    def flush(self) -> str:
        """What was still held back, at the end of the text."""

    def shown_at(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a decided span of the text as it was fed is in what is shown; None where it is not shown as it was."""


class Screen(Protocol):
    """Screens the texts of one server."""

    def question(self, texts: Sequence[str], param: str, request_id: str) -> list[str]:
        """The texts as everything else may see them, in order.

        Raises:
            ContentBlockedError: one of them is refused; ``param`` is the field that holds it.
        """

    def answer(self, request_id: str) -> AnswerScreen | None:
        """For a new answer; None where nothing is looked for in answers."""
