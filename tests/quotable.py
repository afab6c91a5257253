"""Sentences of passages without a collection: cut here, and compared by a small embedder."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from models.base import TextKind
from models.hashing import HashingEmbedder
from service.generation.base import Passage, Sentence
from service.sentences import spans_of


@dataclass
class Quotable:
    """What a collection would give, with a vector of every sentence stored or of none.

    Attributes:
        compared_texts: of the sentences that were embedded while somebody waited.
    """

    query: str
    language: str = "en"
    is_stored: bool = True
    compared_texts: list[str] = field(default_factory=list)

    async def of(self, passages: Sequence[Passage]) -> Sequence[Sentence]:
        found = [
            Sentence(passage, *span)
            for passage in passages
            for span in spans_of(passage.hit.chunk.text, passage.hit.chunk.start, self.language)
        ]
        return self._with_cosines(found) if self.is_stored else found

    async def compared(self, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
        self.compared_texts += [sentence.text for sentence in sentences]
        return self._with_cosines(sentences)

    def _with_cosines(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        if not sentences:
            return []
        embedder = HashingEmbedder()
        query = embedder.embed(embedder.tokenize([self.query], TextKind.QUERY))[0]
        texts = [sentence.text for sentence in sentences]
        cosines = embedder.embed(embedder.tokenize(texts, TextKind.DOCUMENT)) @ query
        return [replace(one, cosine=float(cosine)) for one, cosine in zip(sentences, cosines, strict=True)]


@dataclass(frozen=True)
class NotNeeded:
    """For generators that have no use for sentences."""

    query: str = ""
    language: str = "en"

    async def of(self, passages: Sequence[Passage]) -> Sequence[Sentence]:
        raise AssertionError(f"nothing quotes of {passages}")

    async def compared(self, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
        raise AssertionError(f"nothing compares {sentences}")
