"""A rule: what is looked for, where, and what becomes of a text that has it."""

from dataclasses import dataclass
from enum import StrEnum

from service.content.finder import Finder


class Place(StrEnum):
    """Whose text it is."""

    QUESTION = "question"
    ANSWER = "answer"


class Action(StrEnum):
    """What a match brings about."""

    BLOCK = "block"
    MASK = "mask"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Rule:
    """One of a file.

    Attributes:
        replacement: what stands for a masked match.
    """

    name: str
    finder: Finder
    places: frozenset[Place]
    action: Action
    replacement: str
