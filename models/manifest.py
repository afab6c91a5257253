"""What a sentence model's folder declares beside its weights: tokenizer, prompts, limits, lengths of vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.base import TextKind, TokenIds
from models.launching import Rectangle
from models.parity import PROBES
from models.tokenizing import ThreadLocalTokenizer


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is declared, in the words of ``EmbedderInfo``."""

    tokenizer: ThreadLocalTokenizer
    max_tokens: int
    prompts: Mapping[TextKind, str]
    dimension: int
    matryoshka: tuple[int, ...]
    rectangle: Rectangle

    def probes(self) -> list[TokenIds]:
        """Token ids of texts of several lengths."""
        return self.tokenizer.encode(PROBES)
