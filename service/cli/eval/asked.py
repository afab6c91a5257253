"""Asked questions: each put to POST /v1/query, and what can be said of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from service.cli.eval.asker import Asker, RefusedError, Reply, collection_path
from service.cli.eval.dataset import Query
from service.cli.eval.searches import Failure
from service.cli.eval.way import Way

# Foreign questions belong to another dataset: this one's documents should leave them open.
Kind = Literal["answerable", "unanswerable", "foreign"]
_ANSWERED = {"ok", "partial"}


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and whether the collection should answer it."""

    kind: Kind
    query: Query


@dataclass(frozen=True, slots=True)
class Citation:
    """A cited span.

    Attributes:
        is_valid: the document has exactly the quote there.
        score: by which it was chosen; None of a language model's.
    """

    quote: str
    is_valid: bool
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back.

    Attributes:
        question: that was asked.
        text: of the answer without its markers; empty where there is none.
        confidence: how sure the server is, or the best cosine of a chunk where it does not say; None without chunks.
        degraded: what the server had to leave out.
    """

    question: Question
    is_answer: bool
    text: str
    citations: tuple[Citation, ...]
    confidence: float | None
    seconds: float
    degraded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """All questions of one way."""

    answered: tuple[Answered, ...]
    failures: tuple[Failure, ...]


class Interview:
    """Asks one collection, and looks up what it cites.

    Args:
        way: one that answers.
        llm: name of the generator.
    """

    def __init__(self, asker: Asker, collection: str, way: Way, llm: str) -> None:
        self._asker = asker
        self._way = way
        self._collection = collection
        self._llm = llm
        self._texts: dict[str, str] = {}

    def ask_all(self, questions: Sequence[Question]) -> Asked:
        """Every question once.

        Raises:
            httpx.TransportError: the server is gone.
        """
        what = f"{self._collection}: questions, {self._way.name}"
        done = self._asker.each(what, self._asked, questions, len(questions))
        return Asked(
            tuple(each for each in done if isinstance(each, Answered)),
            tuple(each for each in done if isinstance(each, Failure)),
        )

    def ask(self, text: str) -> Reply:
        """One question.

        Raises:
            RefusedError: it is refused.
        """
        (fields,) = self._way.requests
        body = {"query": text, "collection": self._collection, "llm": self._llm}
        return self._asker.post("/v1/query", {**body, **fields})

    def _asked(self, question: Question) -> Answered | Failure:
        try:
            reply = self.ask(question.query.text)
            citations = tuple(self._citation(each) for each in reply.body["citations"])
        except RefusedError as error:
            return Failure(question.query.id, str(error))
        is_answer = reply.body["status"] in _ANSWERED and bool(reply.body["answer"])
        return Answered(
            question,
            is_answer,
            _unmarked(reply.body) if is_answer else "",
            citations if is_answer else (),
            _confidence(reply.body),
            reply.seconds,
            tuple(str(rung) for rung in reply.body["degraded"]),
        )

    def _citation(self, citation: dict[str, Any]) -> Citation:
        text = self._text(citation["document_id"])
        span = text[citation["document_start"] : citation["document_end"]]
        return Citation(citation["quote"], bool(span) and span == citation["quote"], citation.get("score"))

    def _text(self, document: str) -> str:
        """As the collection has it; read once."""
        if document not in self._texts:
            path = f"{collection_path(self._collection)}/documents/{quote(document, safe='')}"
            self._texts[document] = self._asker.get(path)["text"]
        return self._texts[document]


def _unmarked(reply: dict[str, Any]) -> str:
    """The answer without its markers: the number in one could pass for an answer."""
    text: str = reply["answer"]
    for citation in sorted(reply["citations"], key=lambda each: -each["answer_start"]):
        text = text[: citation["answer_start"]] + text[citation["answer_end"] :]
    return text


def _confidence(reply: dict[str, Any]) -> float | None:
    if isinstance(reply.get("confidence"), int | float):
        return float(reply["confidence"])
    return max((chunk["scores"]["vector"] for chunk in reply["chunks"]), default=None)
