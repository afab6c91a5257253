"""Outgoing: the request that an arrival makes."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import orjson

from loadtests.arrivals import Arrival
from loadtests.plan import Material, Plan
from loadtests.route import Route

_TOP_K = 10
# Documents that are put replace each other, so that a collection stays as large as it is however long a run takes.
_KEPT_DOCUMENTS = 500


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent."""

    method: str
    path: str
    body: bytes


class Desk:
    """Writes requests.

    Args:
        plan: collection, deadlines and nonce.
    """

    def __init__(self, plan: Plan, material: Material) -> None:
        self._plan = plan
        self._material = material
        self._prefix = urlsplit(plan.url).path.rstrip("/")
        self._collection = quote(plan.collection, safe="")

    def outgoing(self, arrival: Arrival) -> Outgoing:
        """The request of an arrival: neighbours ask different questions."""
        question = self._material.questions[arrival.number % len(self._material.questions)]
        deadline = self._plan.deadline_ms.get(arrival.route)
        timed = {} if deadline is None else {"deadline_ms": deadline}
        match arrival.route:
            case Route.INGEST:
                return self._document(arrival.number)
            case Route.CHAT:
                body = {"model": self._plan.collection, "messages": [{"role": "user", "content": question}]}
                return self._post("/v1/chat/completions", body | {"stream": True, "rag": {"top_k": _TOP_K, **timed}})
            case Route.SEARCH:
                return self._post("/v1/search", self._asked(question) | timed)
            case _:
                stream = {"stream": arrival.route is Route.STREAM}
                return self._post("/v1/query", self._asked(question) | stream | timed)

    def _asked(self, question: str) -> dict[str, object]:
        return {"query": question, "collection": self._plan.collection, "top_k": _TOP_K}

    def _document(self, number: int) -> Outgoing:
        """Always a new text: one that is there already would be no work."""
        text = self._material.texts[number % len(self._material.texts)]
        body = orjson.dumps({"title": f"Note {number}", "text": f"Note {number} of run {self._plan.nonce}. {text}"})
        path = f"/v1/collections/{self._collection}/documents/load-{number % _KEPT_DOCUMENTS}"
        return Outgoing("PUT", f"{self._prefix}{path}", body)

    def _post(self, path: str, body: dict[str, object]) -> Outgoing:
        return Outgoing("POST", f"{self._prefix}{path}", orjson.dumps(body))
