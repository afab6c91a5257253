"""The contract of a generator: an answer as a stream of events, citations resolved.

A stream is any number of ``Delta``, ``Cited`` and ``Heard`` and ends with one ``Finished``. Joining the deltas gives
the answer; a ``Cited`` follows the delta that ends with its marker. A failure is a ``GenerationError``, raised, never
text.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Protocol

from indexes.base import Hit
from indexes.surroundings import ChunkSpan
from service.budget import Deadline
from service.telemetry.traces import RequestTrace


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit with the number the answer cites it by, from 1.

    Attributes:
        hit: its chunk may be longer than what was found: all the text that the generator is given.
        joined: the chunks that this text is made of; none where it is that of the hit alone.
    """

    number: int
    hit: Hit
    joined: tuple[ChunkSpan, ...] = ()

    @property
    def chunks(self) -> tuple[ChunkSpan, ...]:
        """That its text is made of, as they are stored."""
        chunk = self.hit.chunk
        return self.joined or (ChunkSpan(self.hit.row, chunk.start, chunk.end),)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage, as it may be quoted: ``text == document.text[start:end]``.

    Attributes:
        cosine: of its vector, made with title and headings before it, with that of the question; None while nobody
            knows it.
    """

    passage: Passage
    start: int
    end: int
    cosine: float | None = None

    @property
    def text(self) -> str:
        """As the document has it."""
        chunk = self.passage.hit.chunk
        return chunk.text[self.start - chunk.start : self.end - chunk.start]

    @property
    def document_id(self) -> str:
        """Of the document it is in."""
        return self.passage.hit.chunk.document_id


class Sentences(Protocol):
    """Those of one question's passages."""

    @property
    def query(self) -> str:
        """What the passages were searched for: the question, standing alone."""

    @property
    def language(self) -> str:
        """That the collection's words are read by, one of ``indexes.languages.LANGUAGES``."""

    async def of(self, passages: Sequence[Passage]) -> Sequence[Sentence]:
        """Every sentence of the passages, with its cosine where its vector is stored.

        Raises:
            StoreUnavailableError: they cannot be read.
        """

    async def compared(self, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
        """The same with cosines, which are computed now.

        Raises:
            OverloadedError, EmbedderUnavailableError, DeadlineExceededError: they cannot be.
        """


async def all_of(passages: Sequence[Passage]) -> Sequence[Passage]:
    """As they are."""
    return passages


class Priority(IntEnum):
    """Who goes first at a busy model server: the lowest number, as vLLM has it."""

    CANARY = -2
    REWRITE = -1
    QUESTION = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of the conversation before the question."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class LlmCall:
    """What every call of a model server carries.

    Attributes:
        request_id: of the request it is made for.
        tenant: whose cached prefixes it may share.
        caller: who spends its tokens.
        trace: of that request; None where there is none.
        traceparent: sent to the server, which goes on with the trace.
    """

    deadline: Deadline
    request_id: str = ""
    tenant: str = ""
    priority: Priority = Priority.QUESTION
    caller: str = ""
    trace: RequestTrace | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator needs to know.

    Attributes:
        question: as it was asked last.
        passages: best first.
        sentences: of the passages, for a generator that quotes.
        min_confidence: quotes of a lower one are no answer.
        present: those of some passages that are there still; a generator that has waited asks before it uses them.
        temperature: 0 to 2; None leaves it to the model.
        turns: of the conversation before the question, oldest first.
    """

    question: str
    passages: Sequence[Passage]
    max_tokens: int
    temperature: float | None
    call: LlmCall
    sentences: Sentences
    turns: Sequence[Turn] = ()
    present: Callable[[Sequence[Passage]], Awaitable[Sequence[Passage]]] = all_of
    min_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer is expected to take, from those before it; seconds.

    Attributes:
        first_token_s: to the first text, with nothing of the prompt to read.
        prompt_token_s: more for each token of the prompt.
        token_s: between two tokens of the answer.
    """

    first_token_s: float
    prompt_token_s: float
    token_s: float


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
        score: by which the quoted sentence was chosen, the higher the better; None where a language model cites.
    """

    number: int
    document_start: int
    document_end: int
    answer_start: int
    answer_end: int
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a stream.

    Attributes:
        reason: OpenAI's ``finish_reason``: ``stop`` or ``length``; ``content_filter`` where it is blocked.
        is_blocked: what followed, or would have, was not to be shown.
        abstained: the generator found no answer in the passages.
        usage: prompt_tokens, completion_tokens, total_tokens, where the model counts them.
        invalid_markers: markers that named no passage and were left out.
        left_out: passages that did not fit into the model's context.
        max_tokens: longest answer that was asked for, where that is less than the request's; None where it is not.
        timings: milliseconds as the model's server has them, where it says.
        prompt_s: that building and fitting the prompt took here.
        confidence: that the answer is in what was quoted, or would have been, 0..1; None where nobody can tell.
    """

    reason: str
    abstained: bool = False
    usage: Mapping[str, int] = field(default_factory=dict)
    invalid_markers: int = 0
    left_out: int = 0
    max_tokens: int | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    prompt_s: float = 0.0
    is_blocked: bool = False
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The model writes, and nothing of it is shown yet: it thinks, or what it says may turn out to be no answer."""


Event = Delta | Cited | Finished | Heard


class Generator(Protocol):
    """Writes answers."""

    @property
    def trouble(self) -> str | None:
        """Why no answer is to be expected now, e.g. that the last ones failed; None while there is no reason."""

    def expect(self) -> Expectation | None:
        """From the last answers; None where there were none lately, so that it is tried."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events.

        Raises:
            GenerationError: the model failed; deltas that came before stand.
        """

    async def standalone(self, question: str, turns: Sequence[Turn], call: LlmCall) -> str:
        """The question with what it takes from the turns before it made explicit, for the search.

        Raises:
            GenerationError: the model failed.
        """

    def describe(self) -> dict[str, object]:
        """Kind and state, for the status page; ``state`` is ``ready`` or says what failed last."""

    async def start(self) -> None:
        """Begin to watch the server. It need not be there yet."""

    async def close(self) -> None:
        """Release connections and end what ``start`` began."""
