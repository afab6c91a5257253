"""Requests that somebody might try who wants to see more than the key grants: every route, in every wrong way."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tenants.estate import ALIASES, BLUE, COLLECTIONS, OWN_ALIAS, RED, TENANTS, Estate, Holder, Planted

_OPERATIONS = ("rebuild", "verify", "calibrate", "purge", "reembed")
_OWN = "intruder"
_MORE_ALIASES = 4  # of who may move some of them, and is but one of many


@dataclass(frozen=True, slots=True)
class Try:
    """One request."""

    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str | None:
        """What it asks, of any collection; None of other requests."""
        body = self.body.get("json", {})
        if self.path == "/v1/chat/completions" and body:
            return str(body["messages"][-1]["content"])
        return body["query"] if self.path in {"/v1/search", "/v1/query"} and body else None

    @property
    def only_reads(self) -> bool:
        """And nothing that goes on by itself is in the reply."""
        if self.path in {"/metrics", "/v1/status", "/v1/admin/keys"} or self.body.get("json", {}).get("stream"):
            return False
        return self.method == "GET" or self.question is not None

    def says(self, word: str) -> bool:
        """Whether the word is in it, so that an echo tells nothing."""
        return word in f"{self.path} {self.body}"


class Intruder:
    """Draws requests."""

    def __init__(self, estate: Estate, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311  to be the same again
        self._estate = estate
        self._holder = estate.holders[0]
        self._draws: list[Callable[[], Try]] = [
            self._search, self._search, self._query, self._query, self._chat, self._chat, self._documents,
            self._documents, self._document, self._document, self._put, self._file, self._batch, self._delete,
            self._delete_by_filter, self._delete_by_filter, self._collection, self._upkeep, self._alias, self._alias,
            self._jobs, self._jobs,
            self._node, self._node, self._models, self._embeddings, self._nonsense,
        ]  # fmt: skip

    def draw(self, holder: Holder) -> Try:
        """The next, as ``holder`` might try it.

        Whoever may replace what is there writes beside it: else a document would change its tenant by right.
        """
        self._holder = holder
        more = [self._alias] * _MORE_ALIASES if "admin" in holder.rights.scopes else []
        return self._dice.choice(self._draws + more)()

    @property
    def _is_free(self) -> bool:
        return self._holder.rights.filter is None

    def _name(self) -> str:
        return self._dice.choice([*COLLECTIONS, *ALIASES, "nothing"])

    def _own_name(self) -> str:
        """Mostly one that the holder may use."""
        own = sorted(self._holder.rights.collections or COLLECTIONS)
        return self._dice.choice(own) if self._dice.random() < 0.7 else self._name()

    def _planted(self) -> Planted:
        return self._dice.choice(self._estate.documents)

    def _filter(self) -> dict[str, Any] | None:
        meta = self._planted()
        negated = {"type": "nin", "key": "tenant", "value": list(TENANTS)}
        either = {"type": "or", "filters": [RED, BLUE, negated]}
        note = {"type": "ne", "key": "note", "value": meta.topic}
        return self._dice.choice([None, RED, BLUE, negated, either, note])

    def _question(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "query": f"Who checks the {self._planted().topic} of the plant?",
            "collection": self._name(),
            "top_k": self._dice.choice([1, 10, 1000]),
            "filters": self._filter(),
            "explain": self._dice.random() < 0.5,
        }
        if self._dice.random() < 0.3:
            body["boost"] = [{"filter": self._filter() or BLUE, "weight": 1.0}]
        if self._dice.random() < 0.3:
            body["rerank"] = self._dice.choice([{"enabled": False}, {"enabled": True, "candidates": 3}])
        return body

    def _search(self) -> Try:
        return Try("POST", "/v1/search", {"json": self._question()})

    def _query(self) -> Try:
        body = self._question() | {"stream": self._dice.random() < 0.5} | self._dice.choice([{}, {"llm": "extractive"}])
        return Try("POST", "/v1/query", {"json": body})

    def _chat(self) -> Try:
        asked = self._question()
        rag = {name: asked[name] for name in ("top_k", "filters", "explain", "boost", "rerank") if name in asked}
        body = {
            "model": asked["collection"],
            "messages": [{"role": "user", "content": asked["query"]}],
            "stream": self._dice.random() < 0.5,
            "rag": rag,
        }
        return Try("POST", "/v1/chat/completions", {"json": body})

    def _documents(self) -> Try:
        after = self._dice.choice(["", "", "red/", "blue/", "a", "s"])
        limit = self._dice.choice([1, 3, 1000])
        return Try("GET", f"/v1/collections/{self._name()}/documents?limit={limit}&cursor={after}")

    def _document(self) -> Try:
        target = self._planted()
        collection = target.collection if self._dice.random() < 0.7 else self._name()
        id_ = self._dice.choice([target.id, self._own(), target.id.replace("/", "%2F")])
        return Try("GET", f"/v1/collections/{collection}/documents/{id_}")

    def _own(self) -> str:
        return f"{_OWN}/{self._dice.randrange(4)}"

    def _path(self) -> str:
        """Of a document to be written or deleted; those that were planted only where they were."""
        target = self._planted()
        if self._is_free or self._dice.random() < 0.3:
            return f"/v1/collections/{self._name()}/documents/{self._own()}"
        return f"/v1/collections/{target.collection}/documents/{target.id}"

    def _metadata(self) -> dict[str, Any]:
        return self._dice.choice([{}, {"tenant": "red"}, {"tenant": "blue"}])

    def _put(self) -> Try:
        wait = self._dice.choice(["", "?wait_ms=1000"])
        body = {"text": "The intruder writes about the boiler of the plant.", "metadata": self._metadata()}
        return Try("PUT", self._path() + wait, {"json": body})

    def _file(self) -> Try:
        fields = {"metadata": orjson.dumps(self._metadata()).decode()}
        return Try("PUT", self._path(), {"files": {"file": ("note.txt", b"The boiler, once more.")}, "data": fields})

    def _batch(self) -> Try:
        name = self._dice.choice(COLLECTIONS)
        there = [document.id for document in self._estate.documents if document.collection == name]
        ids = [self._own() if self._is_free else self._dice.choice(there) for _ in range(3)]
        lines = [{"id": id_, "text": "A line on the boiler.", "metadata": self._metadata()} for id_ in ids]
        wait = self._dice.choice(["", "?wait_ms=1000"])
        content = b"\n".join(map(orjson.dumps, lines))
        return Try("POST", f"/v1/collections/{name}/documents:batch{wait}", {"content": content})

    def _delete(self) -> Try:
        return Try("DELETE", self._path())

    def _delete_by_filter(self) -> Try:
        """What others have; of what was planted nothing, where that could be done by right."""
        others = [one for tenant, one in zip(TENANTS, (RED, BLUE), strict=True) if not self._sees(tenant)]
        filter_ = self._dice.choice([*(others or (RED, BLUE)), {"type": "eq", "key": "note", "value": "none such"}])
        if self._is_free:
            filter_ = {"type": "and", "filters": [filter_, {"type": "ne", "key": "planted", "value": True}]}
        return Try("POST", f"/v1/collections/{self._own_name()}/documents:delete", {"json": {"filters": filter_}})

    def _sees(self, tenant: str) -> bool:
        return self._holder.rights.sees({"tenant": tenant})

    def _collection(self) -> Try:
        match self._dice.randrange(4):
            case 0:
                return Try("GET", "/v1/collections")
            case 1:
                return Try("PUT", f"/v1/collections/{self._name()}", {"json": {}})
            case 2:
                return Try("DELETE", f"/v1/collections/{self._dice.choice(['beta', 'vault-kqzx', 'nothing'])}")
        return Try("GET", f"/v1/collections/{self._name()}")

    def _upkeep(self) -> Try:
        operation = self._dice.choice(_OPERATIONS)
        name = self._name() if operation in {"verify", "calibrate"} else self._dice.choice(["beta", "vault-kqzx"])
        body = {"filters": self._filter()} if operation == "purge" else {}
        return Try("POST", f"/v1/collections/{name}:{operation}", {"json": body})

    def _alias(self) -> Try:
        alias = self._dice.choice([*ALIASES, OWN_ALIAS, "another", "alpha"])
        match self._dice.randrange(5):
            case 0:
                return Try("GET", "/v1/aliases")
            case 1 | 2:
                pairs = ((alias, self._own_name()), (OWN_ALIAS, self._name()))  # the right to one of both is not enough
                alias, collection = self._dice.choice(pairs)
                return Try("PUT", f"/v1/aliases/{alias}", {"json": {"collection": collection}})
            case 3:
                return Try("DELETE", f"/v1/aliases/{alias}")
        return Try("GET", f"/v1/aliases/{alias}")

    def _jobs(self) -> Try:
        job = self._dice.choice(self._estate.jobs)
        match self._dice.randrange(4):
            case 0:
                return Try("GET", f"/v1/jobs/{job}")
            case 1:
                return Try("DELETE", f"/v1/jobs/{job}")
            case 2:
                return Try("GET", f"/v1/jobs?collection={self._name()}&status=succeeded")
        return Try("GET", "/v1/jobs?limit=1000")

    def _node(self) -> Try:
        paths = ("/v1/status", "/metrics", "/readyz", "/healthz", "/openapi.json", "/v1/admin/keys")
        if self._dice.random() < 0.2:
            return Try("POST", "/v1/admin/backup", {"json": {}})
        return Try("GET", self._dice.choice(paths))

    def _models(self) -> Try:
        return Try("GET", self._dice.choice(["/v1/models", f"/v1/models/{self._name()}"]))

    def _embeddings(self) -> Try:
        text = f"The {self._planted().topic} of the plant"
        path, model = self._dice.choice([("/v1/embeddings", "hashing"), ("/v1/rerank", None)])
        body = {"input": text, "model": model} if model else {"query": text, "documents": [text]}
        return Try("POST", path, {"json": body})

    def _nonsense(self) -> Try:
        path = self._dice.choice(["/v1/search", "/v1/query", "/v1/chat/completions", "/v1/collections/alpha/x", "/x"])
        content = self._dice.choice([b"{", b"[]", b"\xff", b'{"query": 1}', b'{"model": "vault"}'])
        headers = {"content-type": "application/json"}
        return Try(self._dice.choice(["POST", "PATCH", "GET"]), path, {"content": content, "headers": headers})
