"""Neighbours: what stands around a passage is given to a generator with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from indexes.base import Chunk, Hit
from indexes.surroundings import Surroundings
from service.generation.base import Passage


def widened(passages: Sequence[Passage], around: Mapping[int, Surroundings]) -> list[Passage]:
    """The passages with the text around them; those that then overlap or touch become one, in the place of the better.

    A widened passage is still one stretch of its document, so what is cited of it is too.

    Args:
        passages: best first.
        around: by row of their hits; a passage that is not in it stays as it is.
    """
    joined: list[Passage] = []
    for passage in (_wide(passage, around) for passage in passages):
        touching = [other for other in joined if _touch(other.hit.chunk, passage.hit.chunk)]
        if not touching:
            joined.append(passage)
            continue
        best, *others = touching
        one = _union([best, *others, passage])
        joined = [one if other is best else other for other in joined if other not in others]
    return [replace(passage, number=number) for number, passage in enumerate(joined, start=1)]


def _wide(passage: Passage, around: Mapping[int, Surroundings]) -> Passage:
    wide = around.get(passage.hit.row)
    if wide is None:
        return passage
    return replace(passage, hit=_stretched(passage.hit, wide.start, wide.text), joined=wide.chunks)


def _touch(one: Chunk, other: Chunk) -> bool:
    """One text can be made of them, below the same headings and on the same page."""
    places = ((chunk.document_id, chunk.heading_path, chunk.page) for chunk in (one, other))
    return len(set(places)) == 1 and one.start <= other.end and other.start <= one.end


def _union(passages: Sequence[Passage]) -> Passage:
    """The first of them, as long as all of them are together."""
    chunks = [passage.hit.chunk for passage in passages]
    start, text = min(chunk.start for chunk in chunks), ""
    for chunk in sorted(chunks, key=lambda chunk: chunk.start):
        text += chunk.text[max(0, start + len(text) - chunk.start) :]
    made_of = {chunk.row: chunk for passage in passages for chunk in passage.chunks}
    in_order = tuple(sorted(made_of.values(), key=lambda chunk: chunk.row))
    return replace(passages[0], hit=_stretched(passages[0].hit, start, text), joined=in_order)


def _stretched(hit: Hit, start: int, text: str) -> Hit:
    return replace(hit, chunk=replace(hit.chunk, start=start, end=start + len(text), text=text))
