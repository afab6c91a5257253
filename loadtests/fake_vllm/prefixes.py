"""Which prompts begin as an earlier one did, block by block and salt by salt."""

from collections.abc import Sequence

from cachetools import LRUCache

_BLOCK = 16
_BLOCKS_KEPT = 100_000


class Prefixes:
    """The blocks of the prompts so far."""

    def __init__(self) -> None:
        self._seen: LRUCache[int, None] = LRUCache(_BLOCKS_KEPT)

    def take(self, salt: str | None, tokens: Sequence[str]) -> tuple[int, int]:
        """How many tokens were there already, and how many are now; of the last token none ever are."""
        cached = created = 0
        state = hash(salt)
        for end in range(_BLOCK, len(tokens), _BLOCK):
            state = hash((state, *tokens[end - _BLOCK : end]))
            if state in self._seen and not created:
                cached += _BLOCK
            else:
                created += _BLOCK
            self._seen[state] = None
        return cached, created
