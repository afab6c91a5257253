"""The messages that ask a model to make the last question of a conversation stand alone."""

from collections.abc import Sequence

from service.generation.base import Turn

_INSTRUCTIONS = (
    "Rewrite the last question so that it can be understood without the conversation before it. Keep its language. "
    "Reply with the question only, and do not answer it."
)


def rewrite_messages(question: str, turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Chat messages for the OpenAI protocol."""
    said = "\n".join(f"{turn.role}: {turn.text}" for turn in turns)
    return [
        {"role": "system", "content": _INSTRUCTIONS},
        {"role": "user", "content": f"{said}\n\nLast question: {question}"},
    ]
