"""Prompts counted by the vLLM server that will read them."""

from service.budget import Deadline
from service.generation.model_server import ModelServer
from service.generation.tokens import Messages


class ServedTokens:
    """Counts with the server's own tokenizer and chat template, one request each.

    Args:
        deadline: of the request whose prompt is counted.
    """

    def __init__(self, server: ModelServer, deadline: Deadline) -> None:
        self._server = server
        self._deadline = deadline

    async def count(self, messages: Messages) -> int | None:
        """Tokens of the whole prompt, with the opening of the answer; None where the server does not say soon."""
        return await self._server.count(messages, self._deadline)
