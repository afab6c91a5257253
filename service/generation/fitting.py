"""What of a question's passages and conversation fits into a model's context, by tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sentencex

from service.errors import QuestionTooLongError
from service.generation.base import GenerationRequest, Passage
from service.generation.conversation import Exchange, exchanges
from service.generation.prompt import prompt_messages
from service.generation.room import Room, largest
from service.generation.tokens import Messages, TokenCounter, most_tokens

# Of the context: the answer may take half, and the conversation a quarter of what that leaves.
_ANSWER_SHARE = 2
_CONVERSATION_SHARE = 4
# A cut goes back to the end of a sentence unless that gives up more than half of what would fit.
_SENTENCE_SHARE = 2
_LAST_BLANK = re.compile(r"\s(?=\S*\Z)")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that leaves room for its answer.

    Attributes:
        passages: that are in it, best first; the last one's text may have been cut, and its offsets with it.
        left_out: passages that are not.
        max_tokens: of the answer.
    """

    messages: Messages
    passages: Sequence[Passage]
    left_out: int
    max_tokens: int


async def fit(request: GenerationRequest, context: int, counter: TokenCounter) -> Fitted:
    """The longest prompt for ``request`` that leaves room for the answer.

    What fits by its bytes fits by tokens and is not counted. Otherwise, by exact counts: the oldest exchanges of the
    conversation go until it takes a quarter of the room, then the lowest ranked passages. Where not even the best one
    fits, the conversation goes altogether, and then that passage is cut at the end of a sentence or a word.

    It counts at most ``4 + log2(exchanges + 1) + 2 log2(passages) + log2(characters of the best passage)`` times, each
    logarithm rounded up; nothing is counted any more once ``counter`` gives None, and an estimate decides.

    Args:
        context: tokens of prompt and answer together.

    Raises:
        QuestionTooLongError: there is no room for the instructions, the question and one word of a passage.
    """
    max_tokens = min(request.max_tokens, context // _ANSWER_SHARE)
    fitting = _Fitting(request, Room(context - max_tokens, counter))
    passages, earlier = await fitting.chosen()
    messages = prompt_messages(request.question, passages, earlier)
    return Fitted(messages, passages, len(request.passages) - len(passages), max_tokens)


class _Fitting:
    """One request's passages and conversation in one room."""

    def __init__(self, request: GenerationRequest, room: Room) -> None:
        self._question = request.question
        self._passages = list(request.passages)
        self._earlier = exchanges(request.turns)
        self._room = room

    async def chosen(self) -> tuple[list[Passage], list[Exchange]]:
        """What goes into the prompt."""
        earlier = await self._conversation()
        for kept in [earlier, []] if earlier else [[]]:
            passages = await self._best(kept)
            if passages is not None:
                return passages, kept
        if not self._passages:
            raise self._too_long()
        return [await self._cut(self._passages[0])], []

    async def _conversation(self) -> list[Exchange]:
        """The newest exchanges that take no more than their share."""
        share = self._room.tokens // _CONVERSATION_SHARE
        if not self._earlier or most_tokens([m for each in self._earlier for m in each.messages()]) <= share:
            return self._earlier
        without = await self._room.count(prompt_messages(self._question, [], []))

        async def fits(newest: int) -> bool:
            messages = prompt_messages(self._question, [], self._newest(newest))
            return await self._room.count(messages) - without <= share

        return self._newest(await largest(0, len(self._earlier), fits))

    def _newest(self, count: int) -> list[Exchange]:
        return self._earlier[len(self._earlier) - count :]

    async def _best(self, earlier: Sequence[Exchange]) -> list[Passage] | None:
        """As many of the best passages as fit beside the conversation; None where not even one does."""

        async def fits(best: int) -> bool:
            return await self._room.holds(prompt_messages(self._question, self._passages[:best], earlier))

        count = len(self._passages)
        if await fits(count):
            return self._passages
        return self._passages[: await largest(0, count - 1, fits)] or None

    async def _cut(self, passage: Passage) -> Passage:
        """As much of it as fits alone."""

        async def fits(end: int) -> bool:
            return await self._room.holds(prompt_messages(self._question, [_ending(passage, end)], []))

        text = passage.hit.chunk.text
        end = await largest(0, len(text) - 1, fits)
        natural = _natural_end(text, end)
        if not text[:end].strip():
            raise self._too_long()
        return _ending(passage, natural if await fits(natural) else end)

    def _too_long(self) -> QuestionTooLongError:
        return QuestionTooLongError(
            f"a question of {len(self._question)} characters leaves no room for a passage: the model reads "
            f"{self._room.tokens} tokens beside its answer"
        )


def _ending(passage: Passage, end: int) -> Passage:
    """The passage up to the character ``end`` of its text; the document's offsets follow."""
    chunk = passage.hit.chunk
    cut = replace(chunk, text=chunk.text[:end], end=chunk.start + end)
    return replace(passage, hit=replace(passage.hit, chunk=cut))


def _natural_end(text: str, longest: int) -> int:
    """The last end of a sentence, else of a word, in the first ``longest`` characters; else ``longest``."""
    position, sentence = 0, 0
    for piece in sentencex.segment("en", text):
        end = position + len(piece.rstrip())
        if end > longest:
            break
        position, sentence = position + len(piece), end
    if sentence * _SENTENCE_SHARE >= longest:
        return sentence
    blank = _LAST_BLANK.search(text, 0, longest + 1)
    return len(text[: blank.start() if blank else 0].rstrip()) or longest
