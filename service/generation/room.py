"""Room: so many tokens of a context, and who counts them."""

from collections.abc import Awaitable, Callable

from service.generation.tokens import Messages, TokenCounter, estimated_tokens, most_tokens


class Room:
    """What a prompt may take.

    Args:
        tokens: of the whole prompt, with the opening of the answer.
        counter: once it cannot tell, it is not asked again, and an estimate decides.
    """

    def __init__(self, tokens: int, counter: TokenCounter) -> None:
        self.tokens = tokens
        self._counter: TokenCounter | None = counter

    async def holds(self, messages: Messages) -> bool:
        """Whether they fit; what does so by its bytes is not counted."""
        return most_tokens(messages) <= self.tokens or await self.count(messages) <= self.tokens

    async def count(self, messages: Messages) -> int:
        """Tokens of them."""
        counted = await self._counter.count(messages) if self._counter else None
        if counted is None:
            self._counter = None
            return estimated_tokens(messages)
        return counted


async def largest(least: int, most: int, fits: Callable[[int], Awaitable[bool]]) -> int:
    """The largest number up to ``most`` that fits; ``least`` is taken to, unasked.

    It asks ``log2(most - least + 1)`` times, rounded up.
    """
    while least < most:
        middle = (least + most + 1) // 2
        if await fits(middle):
            least = middle
        else:
            most = middle - 1
    return least
