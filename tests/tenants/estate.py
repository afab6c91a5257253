"""Documents of two tenants in three collections, each with words that nobody else has; keys that see parts of them."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from indexes.filters import parse_filter
from service.access.key import KeyLimits
from service.access.keys import Keys, NewKey
from service.access.rights import Rights
from service.access.scope import Scope

TENANTS = ("red", "blue")
COLLECTIONS = ("alpha", "beta", "vault-kqzx")
ALIASES = {"live": "alpha", "dark-wjvp": "vault-kqzx"}
OWN_ALIAS = "spare"  # of the admin with a list of collections, who may make it
DOCUMENTS = 5
RED: dict[str, Any] = {"type": "eq", "key": "tenant", "value": "red"}
BLUE: dict[str, Any] = {"type": "in", "key": "tenant", "value": ["blue"]}


@dataclass(frozen=True, slots=True)
class Planted:
    """A document, and what of it nobody else has."""

    collection: str
    tenant: str
    id: str
    topic: str
    canaries: tuple[str, ...]

    @property
    def body(self) -> dict[str, Any]:
        _, text, title, note, url = self.canaries
        return {
            "title": f"Paper {title}",
            "text": f"# Part {title}\n\nThe {self.topic} of the plant is checked by {text} on Fridays.",
            "metadata": {"tenant": self.tenant, "note": note, "planted": True},
            "url": f"https://papers.example/{url}",
        }


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a key."""

    name: str
    rights: Rights
    key: str

    @property
    def writes_by_filter(self) -> bool:
        """It may replace and delete what passes its filter; the others write beside what was planted."""
        return self.rights.filter is not None and bool(self.rights.scopes & {"ingest", "admin"})

    def sees(self, planted: Planted) -> bool:
        reach = self.rights.reach(ALIASES)
        return (reach is None or planted.collection in reach) and self.rights.sees({"tenant": planted.tenant})

    @property
    def hidden_names(self) -> tuple[str, ...]:
        """Names that no reply may tell; the others are words of everyday."""
        return () if self.rights.collections is None else ("vault-kqzx", "dark-wjvp")


_TOPICS = ("boiler", "turbine", "crane", "furnace", "pump", "valve", "gauge", "switch", "cable", "roof")


def planted(seed: int) -> list[Planted]:
    """Every document."""
    dice = random.Random(seed)  # noqa: S311  not to be unguessable
    return [
        Planted(collection, tenant, f"{tenant}/{word}", topic, (word, *(_word(dice) for _ in range(4))))
        for collection in COLLECTIONS
        for tenant in TENANTS
        for word, topic in [(_word(dice), dice.choice(_TOPICS)) for _ in range(DOCUMENTS)]
    ]


def _word(dice: random.Random) -> str:
    """One that is no part of any other text."""
    return "zq" + "".join(dice.choices("bcdfghjklmnpqrstvwxz", k=14))


_HOLDERS: dict[str, tuple[list[Scope], list[str] | None, dict[str, Any] | None]] = {
    "reader of alpha": (["query"], ["alpha"], None),
    "red of alpha": (["query", "ingest"], ["alpha"], RED),
    "red everywhere": (["query"], None, RED),
    "writer of beta": (["ingest"], ["beta"], None),
    "admin of alpha": (["admin"], ["alpha", OWN_ALIAS], None),
    "reader of live": (["query"], ["live"], None),
    "blue of beta": (["query", "ingest"], ["beta"], BLUE),
}


def holders(keys: Keys) -> list[Holder]:
    """Each with a key of ``keys``."""
    made = []
    for name, (scopes, collections, filter_) in _HOLDERS.items():
        named = None if collections is None else frozenset(collections)
        rights = Rights(frozenset(scopes), named, filter_ and parse_filter(filter_))
        made.append(Holder(name, rights, str(keys.create(NewKey(name, rights, KeyLimits()))[1])))
    return made


@dataclass(slots=True)
class Estate:
    """A server with all of it.

    Attributes:
        jobs: ids of those that brought files.
    """

    http: httpx.Client
    admin: str
    documents: list[Planted]
    holders: list[Holder]
    jobs: list[str] = field(default_factory=list)

    def asked(self, key: str, method: str, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401
        headers = {"Authorization": f"Bearer {key}", **body.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **body)

    def fill(self) -> None:
        """Put every document, some as files, and the aliases."""
        for number, document in enumerate(self.documents):
            path, body = f"/v1/collections/{document.collection}/documents/{document.id}", document.body
            if number % 3:
                reply = self.asked(self.admin, "PUT", path, json=body)
            else:
                fields = {"title": body["title"], "url": body["url"], "metadata": json.dumps(body["metadata"])}
                file = {"file": (f"{document.canaries[0]}.md", body["text"])}
                reply = self.asked(self.admin, "PUT", path, data=fields, files=file)
                self.jobs.append(reply.json()["job_id"])
            assert reply.status_code == 201, reply.text
        for alias, collection in ALIASES.items():
            assert self.asked(self.admin, "PUT", f"/v1/aliases/{alias}", json={"collection": collection}).is_success

    def canaries_hidden_from(self, holder: Holder) -> Iterator[str]:
        yield from holder.hidden_names
        for document in self.documents:
            if not holder.sees(document):
                yield from document.canaries
