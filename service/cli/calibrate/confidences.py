"""Confidences: how sure a server is of its quotes, by what it should do with the question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.cli.eval.asked import Kind
from service.cli.eval.samples import Floats

KINDS: tuple[Kind, ...] = ("answerable", "unanswerable", "foreign")


@dataclass(frozen=True, slots=True)
class Confidences:
    """Each ``(n,)``, 0..1; those of a kind that nobody asked are empty."""

    answerable: Floats
    unanswerable: Floats
    foreign: Floats

    @classmethod
    def of(cls, pairs: Sequence[tuple[Kind, float]]) -> "Confidences":
        """From one of each question."""
        return cls(*(np.array([value for kind, value in pairs if kind == wanted], np.float64) for wanted in KINDS))

    @property
    def open(self) -> Floats:
        """Of all questions that should be left open."""
        return np.concatenate([self.unanswerable, self.foreign])

    def mapped(self, change: Callable[[Kind, Floats], Floats]) -> "Confidences":
        """Each kind changed."""
        return Confidences(*(change(kind, self.of_kind(kind)) for kind in KINDS))

    def of_kind(self, kind: Kind) -> Floats:
        """Those of one kind."""
        by_kind: dict[Kind, Floats] = {
            "answerable": self.answerable,
            "unanswerable": self.unanswerable,
            "foreign": self.foreign,
        }
        return by_kind[kind]
