"""A collection of a running server: what it is, how sure it is of questions, and the threshold that it is given."""

from collections.abc import Sequence
from typing import Any

import httpx

from service.cli.calibrate.confidences import Confidences
from service.cli.console import checked
from service.cli.eval.asked import Kind, Question
from service.cli.eval.asker import Asker, RefusedError, collection_path
from service.cli.eval.errors import EvalError
from service.settings import EXTRACTIVE

# Of a question; what is refused otherwise is refused of all.
_OF_THE_QUESTION = {
    httpx.codes.BAD_REQUEST,
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.UNPROCESSABLE_ENTITY,
}
_SHOWN = 5


class NotCalibratedError(EvalError):
    """The server does not say of every question how sure it is, or does not take the threshold."""


class ServedCollection:
    """One that exists."""

    def __init__(self, asker: Asker, name: str) -> None:
        self._asker = asker
        self._name = name

    def described(self) -> dict[str, Any]:
        """As the server does.

        Raises:
            NotCalibratedError: it holds nothing.
            typer.Exit: there is none, or it may not be seen.
        """
        reply: dict[str, Any] = checked(self._asker.http.get(collection_path(self._name))).json()
        if not reply["documents"]:
            raise NotCalibratedError(f"{self._name!r} has no documents, so no question can be answered from it")
        return reply

    def require_writable(self) -> None:
        """See before anything is asked that the threshold may be set in the end.

        Raises:
            NotCalibratedError: the key has a filter.
            typer.Exit: the key may not change the collection.
        """
        reply = checked(self._asker.http.put(collection_path(self._name), json={})).json()
        if is_filtered(reply):
            raise NotCalibratedError(
                "this key has a filter and the threshold is of the whole collection: give another key, or --dry-run"
            )

    def confidences(self, questions: Sequence[Question]) -> Confidences:
        """Ask every question, of the generator that quotes.

        Raises:
            NotCalibratedError: a question is refused or has no confidence.
            RefusedError: no question can be answered now.
            httpx.TransportError: the server is gone.
        """
        done = self._asker.each(f"{self._name}: questions", self._confidence, questions, len(questions))
        refused = [each for each in done if isinstance(each, str)]
        if refused:
            more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
            said = "; ".join(refused[:_SHOWN]) + more
            raise NotCalibratedError(f"{len(refused)} of {len(questions)} questions were refused: {said}")
        return Confidences.of([each for each in done if not isinstance(each, str)])

    def set(self, threshold: float) -> None:
        """From then on it is the collection's.

        Raises:
            RefusedError: the server does not take it.
        """
        self._asker.put(collection_path(self._name), {"min_confidence": threshold})

    def _confidence(self, question: Question) -> tuple[Kind, float] | str:
        """The confidence, or what is wrong with the question."""
        body = {"query": question.query.text, "collection": self._name, "llm": EXTRACTIVE, "on_failure": "fail"}
        try:
            reply = self._asker.post("/v1/query", body).body
        except RefusedError as error:
            if error.status not in _OF_THE_QUESTION:
                raise
            return f"{question.query.id}: {error}"
        confidence = reply.get("confidence")
        if confidence is None and not reply["chunks"]:
            return question.kind, 0.0  # nothing could be quoted
        if not isinstance(confidence, int | float) or reply["degraded"]:
            raise NotCalibratedError(f"{question.query.id}: the server does not say how sure it is of its quotes")
        return question.kind, float(confidence)


def is_filtered(collection: dict[str, Any]) -> bool:
    """Whether only a part of the collection is seen: how many chunks the whole has is not told then."""
    return collection["chunks"] is None
