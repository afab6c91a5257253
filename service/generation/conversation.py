"""The turns before a question, as chat templates take them: user and assistant by turns, the user first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from service.generation.base import Turn
from service.generation.markers import without_markers
from service.generation.quoting import without_control_tokens
from service.generation.tokens import Messages

# Longer conversations lose their beginning before anything is counted.
MAX_EXCHANGES = 64
# Some templates refuse two messages of one role in a row, and a question may have had no reply.
_NO_REPLY = "(no reply)"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the user said, and what was replied."""

    user: str
    assistant: str

    def messages(self) -> Messages:
        """Two chat messages. The markers of the reply are left out: they name the passages of another prompt."""
        reply = without_markers(self.assistant) or _NO_REPLY
        return [
            {"role": "user", "content": without_control_tokens(self.user)},
            {"role": "assistant", "content": without_control_tokens(reply)},
        ]


def exchanges(turns: Sequence[Turn]) -> list[Exchange]:
    """The last ``MAX_EXCHANGES`` exchanges, oldest first; what the assistant said before the first user is left out."""
    said = [(role, "\n\n".join(turn.text for turn in group)) for role, group in groupby(turns, lambda turn: turn.role)]
    if said and said[0][0] == "assistant":
        del said[0]
    if said and said[-1][0] == "user":
        said.append(("assistant", _NO_REPLY))
    pairs = zip(said[::2], said[1::2], strict=True)
    return [Exchange(user, assistant) for (_, user), (_, assistant) in pairs][-MAX_EXCHANGES:]
