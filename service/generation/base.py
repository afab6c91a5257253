"""The contract of a generator: an answer as a stream of events, citations resolved.

A stream is any number of ``Delta`` and ``Cited`` and ends with one ``Finished``. Joining the deltas gives the answer. A
failure is a ``GenerationError``, raised, never text.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from indexes.base import Hit, Vectors
from service.budget import Deadline


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit with the number the answer cites it by, from 1."""

    number: int
    hit: Hit


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator needs to know.

    Attributes:
        question_vector: ``(dimension,)``, by the collection's embedder.
        embed: ``(texts, dimension)`` vectors of texts, comparable with the question's.
        passages: best first.
        temperature: 0 to 2; None leaves it to the model.
    """

    question: str
    question_vector: Vectors
    passages: Sequence[Passage]
    max_tokens: int
    temperature: float | None
    deadline: Deadline
    embed: Callable[[Sequence[str]], Awaitable[Vectors]]


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """A marker in the answer, resolved.

    Attributes:
        number: of the passage.
        document_start: offsets of the quoted text in the document.
        answer_start: offsets of the marker in the answer.
    """

    number: int
    document_start: int
    document_end: int
    answer_start: int
    answer_end: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a stream.

    Attributes:
        reason: OpenAI's ``finish_reason``: ``stop`` or ``length``.
        abstained: the generator found no answer in the passages.
        usage: prompt_tokens, completion_tokens, total_tokens, where the model counts them.
        invalid_markers: markers that named no passage and were left out.
    """

    reason: str
    abstained: bool = False
    usage: dict[str, int] = field(default_factory=dict)
    invalid_markers: int = 0


Event = Delta | Cited | Finished


class Generator(Protocol):
    """Writes answers."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events.

        Raises:
            GenerationError: the model failed; deltas that came before stand.
        """

    def describe(self) -> dict[str, object]:
        """Kind and state, for the status page; ``state`` is ``ready`` or says what failed last."""

    async def close(self) -> None:
        """Release connections."""
