"""How many tokens a prompt has: counted where somebody can, else bounded or estimated."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

Messages = list[dict[str, str]]

# What templates put around a message, and around all of them: the longest known openings, of Llama 3.1 (a date) and
# gpt-oss (a system message of its own), have less than a hundred tokens.
_MESSAGE_TOKENS = 16
_TEMPLATE_TOKENS = 128
# Three bytes a token is below every vocabulary's average, on English prose as on Chinese, so a prompt that is fitted by
# it errs on the short side.
_BYTES_PER_TOKEN = 3
_USUAL_MESSAGE_TOKENS = 8


class TokenCounter(Protocol):
    """Counts as the model's server does."""

    async def count(self, messages: Messages) -> int | None:
        """Tokens of the whole prompt, with the opening of the answer; None where it cannot be told now."""


class TokenEstimate:
    """For servers that count for nobody."""

    async def count(self, messages: Messages) -> int:
        """Rather too many than too few."""
        return estimated_tokens(messages)


class LocalTokens:
    """Counts with a tokenizer of this process.

    Args:
        count: tokens of messages; any thread may call it.
        threads: it is called on one of them.
    """

    def __init__(self, count: Callable[[Messages], int], threads: Executor) -> None:
        self._count = count
        self._threads = threads

    async def count(self, messages: Messages) -> int:
        """Exactly."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._count, messages)


def most_tokens(messages: Messages) -> int:
    """At least as many as any byte-level vocabulary makes of them: a token is a byte or more."""
    return _TEMPLATE_TOKENS + sum(_MESSAGE_TOKENS + _bytes(message) for message in messages)


def estimated_tokens(messages: Messages) -> int:
    """About as many as the least frugal vocabularies make of them."""
    return sum(_USUAL_MESSAGE_TOKENS + _bytes(message) // _BYTES_PER_TOKEN for message in messages)


def _bytes(message: dict[str, str]) -> int:
    return len(message["content"].encode(errors="surrogatepass"))
