"""Text as tokens: pieces of up to four letters, so that words and markers are split as a real vocabulary splits."""

import re
import zlib
from collections.abc import Sequence

_PIECE = re.compile(r"\s?\w{1,4}|\s?[^\w\s]|\s")
_VOCABULARY = 32_000


def pieces(text: str) -> list[str]:
    """The text of each token; joined they are the text."""
    return _PIECE.findall(text)


def ids(tokens: Sequence[str]) -> list[int]:
    """A number for each token, the same wherever it stands."""
    return [zlib.crc32(token.encode(errors="surrogatepass")) % _VOCABULARY for token in tokens]


def of_messages(messages: Sequence[tuple[str, str]], add_generation_prompt: bool = True) -> list[str]:
    """The tokens of (role, text) messages, as a chat template joins them."""
    joined: list[str] = []
    for role, text in messages:
        joined += ["<|begin|>", role, "\n", *pieces(text), "<|end|>", "\n"]
    return [*joined, "<|begin|>", "assistant", "\n"] if add_generation_prompt else joined
