"""What a cross-encoder's folder declares beside its weights: tokenizer, prompt, limit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sentence_transformers import CrossEncoder

from models.base import TokenPair
from models.library_folder import checked_tokenizer, token_limit
from models.pair import PairRectangle, network_of
from models.tokenizing import ThreadLocalTokenizer

# Pairs of several lengths, on which forms of a model are compared.
_PROBES = (
    ("How do I rotate the keys?", "Keys are rotated with one command; the old ones stay valid for a day."),
    ("How do I rotate the keys?", "Bread and butter."),
    (
        "what marks a deleted row",
        " ".join(["A tombstone marks a row as deleted until the segment that holds it is rebuilt."] * 6),
    ),
)


@dataclass(frozen=True, slots=True)
class PairManifest:
    """What is declared, in the words of ``RerankerInfo``.

    Attributes:
        prompt: put before the query.
    """

    tokenizer: ThreadLocalTokenizer
    max_tokens: int
    prompt: str
    rectangle: PairRectangle

    @classmethod
    def of(cls, model: CrossEncoder, folder: Path) -> Self:
        """Read it from the loaded model.

        Raises:
            UnsupportedModelError: its tokenizer is slow or knows tokens that the model does not.
        """
        limit = token_limit(model)
        return cls(
            tokenizer=checked_tokenizer(model.tokenizer, network_of(model), limit, folder),
            max_tokens=limit,
            prompt=model.prompts.get(model.default_prompt_name or "") or "",
            rectangle=PairRectangle(
                int(model.tokenizer.pad_token_id or 0), "token_type_ids" in model.tokenizer.model_input_names
            ),
        )

    def probes(self) -> list[TokenPair]:
        """Pairs of several lengths."""
        return [self.tokenizer.encode_pairs(query, [document])[0] for query, document in _PROBES]
