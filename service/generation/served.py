"""What a model server says that it serves, and whether that is of use beside others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from service.llm_settings import LEAST_CONTEXT

_SHOWN = 3
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Served:
    """OpenAI's list of models.

    Attributes:
        names: of all models; none where the reply is no such list.
        contexts: tokens by name, where the server says them, as vLLM does.
    """

    names: Sequence[str]
    contexts: Mapping[str, int]

    @classmethod
    def of(cls, listed: Mapping[str, object]) -> Self:
        """Of the reply of ``/v1/models``, whatever that is."""
        cards = listed.get("data")
        named = [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []
        said = {card["id"]: card.get("max_model_len") for card in named if isinstance(card.get("id"), str)}
        return cls([*said], {name: length for name, length in said.items() if isinstance(length, int) and length > 0})

    def misfit(self, model: str) -> str | None:
        """Why a server that says this cannot stand in for others that serve ``model``; None where it may."""
        if self.names and model not in self.names:
            shown = ", ".join(repr(name[:_SHOWN_CHARACTERS]) for name in self.names[:_SHOWN])
            return f"it serves {shown}, not {model!r}"
        context = self.contexts.get(model)
        if context is not None and context < LEAST_CONTEXT:
            return f"it holds {context} tokens; {LEAST_CONTEXT} are the least"
        return None
