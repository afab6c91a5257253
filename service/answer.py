"""An answer: its text, where it comes from, and what it had to do without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from indexes.base import Hit
from service.generation.base import Cited, Finished
from service.generation.prompt import NO_ANSWER

Status = Literal["ok", "partial", "no_answer", "blocked"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in the answer and the place in a document it rests on; ``quote`` is the document's slice.

    Attributes:
        page: of a document that has pages, counted from 1.
        heading_path: headings above the place, the outermost first.
        score: as ``Cited.score``.
    """

    marker: int
    chunk_id: str
    document_id: str
    document_start: int
    document_end: int
    answer_start: int
    answer_end: int
    quote: str
    page: int | None
    heading_path: Sequence[str]
    score: float | None = None

    @classmethod
    def of(cls, cited: Cited, hit: Hit) -> "Citation":
        """A marker with the text that it stands for."""
        chunk = hit.chunk
        return cls(
            marker=cited.number,
            chunk_id=chunk.id,
            document_id=chunk.document_id,
            document_start=cited.document_start,
            document_end=cited.document_end,
            answer_start=cited.answer_start,
            answer_end=cited.answer_end,
            quote=chunk.text[cited.document_start - chunk.start : cited.document_end - chunk.start],
            page=chunk.page,
            heading_path=chunk.heading_path,
            score=cited.score,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an answer's stream, and the whole of it.

    Attributes:
        usage: tokens, where the model counts them.
        llm_timings_ms: as the model's server has them, where it says.
        degraded: the rungs that were lost, from the top of the ladder.
        confidence: as ``Finished.confidence``.
    """

    text: str
    status: Status
    no_answer_reason: str | None
    citations: Sequence[Citation]
    finish_reason: str
    usage: Mapping[str, int]
    llm_timings_ms: Mapping[str, float]
    degraded: Sequence[str]
    invalid_markers: int = 0
    confidence: float | None = None

    @property
    def counts(self) -> dict[str, int | str]:
        """What a line in the log may say of it."""
        said: dict[str, int | str] = {"answer": self.status, "answer_characters": len(self.text)}
        return said | {"citations": len(self.citations), "degraded": len(self.degraded), **self.usage}

    @classmethod
    def of(cls, text: str, citations: Sequence[Citation], finished: Finished, degraded: Sequence[str]) -> "Answer":
        """What a content rule ended is blocked; else a lost rung makes an answer partial.

        Only a generator that worked, on what a whole retrieval brought, can say that there is none.
        """
        has_refused = finished.abstained and not {"rerank", "lexical", "llm", "extractive"} & set(degraded)
        status: Status = "partial" if degraded else "no_answer" if finished.abstained else "ok"
        if finished.is_blocked:
            has_refused, status = False, "blocked"
        return cls(
            text=text or (NO_ANSWER if has_refused else ""),
            status=status,
            no_answer_reason="no_relevant_passage" if status == "no_answer" else None,
            citations=citations,
            finish_reason=finished.reason,
            usage=finished.usage,
            llm_timings_ms=finished.timings,
            degraded=degraded,
            invalid_markers=finished.invalid_markers,
            confidence=finished.confidence,
        )
