"""One raw tokenizer per thread, and the one place where text is truncated."""

import threading
from collections.abc import Sequence

from tokenizers import Tokenizer

from models.base import TokenIds, TokenPair

# Text beyond max_tokens times this many characters is not tokenized. Prose runs out of tokens long before; only runs of
# blanks or of unbroken letters, such as base64, reach it and lose their tail.
_CHARACTERS_PER_TOKEN = 32


class ThreadLocalTokenizer:
    """A Hugging Face fast tokenizer that any thread may use.

    A fast tokenizer that two threads share fails with "Already borrowed", so each thread parses a copy of its own
    from the serialised form the first time it asks.

    Args:
        serialized: the tokenizer.json text.
        max_tokens: truncation length, special tokens counted.
    """

    def __init__(self, serialized: str, max_tokens: int) -> None:
        self._serialized = serialized
        self._max_tokens = max_tokens
        self._local = threading.local()

    def encode(self, texts: Sequence[str], prompt: str = "") -> list[TokenIds]:
        """Token ids of ``prompt + text`` for each text, special tokens included, at most ``max_tokens`` each."""
        limit = self._max_tokens * _CHARACTERS_PER_TOKEN
        clipped = [(prompt + text[:limit])[:limit] for text in texts]
        return [encoding.ids for encoding in self._tokenizer("truncating").encode_batch_fast(clipped)]

    def encode_pairs(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        """``query`` with each document, special tokens included, at most ``max_tokens`` each.

        As ``CrossEncoder`` does it, tokens are taken off the end of the longer of the two ("longest first"): off the
        document alone, unless the query takes up more than half of ``max_tokens``.
        """
        limit = self._max_tokens * _CHARACTERS_PER_TOKEN
        pairs = [(query[:limit], document[:limit]) for document in documents]
        encodings = self._tokenizer("truncating").encode_batch_fast(pairs)
        return [TokenPair(encoding.ids, encoding.type_ids) for encoding in encodings]

    def count(self, text: str) -> int:
        """Tokens of the whole ``text``, special tokens left out."""
        return len(self._tokenizer("counting").encode(text, add_special_tokens=False).ids)

    def _tokenizer(self, purpose: str) -> Tokenizer:
        tokenizer: Tokenizer | None = getattr(self._local, purpose, None)
        if tokenizer is None:
            tokenizer = Tokenizer.from_str(self._serialized)
            tokenizer.no_padding()
            if purpose == "truncating":
                tokenizer.enable_truncation(self._max_tokens)
            else:
                tokenizer.no_truncation()
            setattr(self._local, purpose, tokenizer)
        return tokenizer
