"""Prompts counted by the vLLM server that will read them."""

from service.generation.admitted import Admitted
from service.generation.tokens import Messages


class ServedTokens:
    """Counts with the server's own tokenizer and chat template, one request each.

    Args:
        admitted: the call whose prompt is counted.
    """

    def __init__(self, admitted: Admitted) -> None:
        self._admitted = admitted

    async def count(self, messages: Messages) -> int | None:
        """Tokens of the whole prompt, with the opening of the answer; None where the server does not say soon."""
        return await self._admitted.count(messages)
