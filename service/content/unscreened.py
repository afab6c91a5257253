"""Unscreened: the screen of a server that has no rules."""

from collections.abc import Sequence


class Unscreened:
    """Lets every text through, and adds nothing to an answer's way."""

    def question(self, texts: Sequence[str], param: str, request_id: str) -> list[str]:
        """The texts."""
        return list(texts)

    def answer(self, request_id: str) -> None:
        """Nothing is looked for."""
