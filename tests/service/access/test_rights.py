"""What a key grants."""

import pytest

from indexes.filters import matches, parse_filter
from service.access.rights import ALL, Rights
from service.access.scope import SCOPES, Scope
from service.errors import ForbiddenError

ACME = parse_filter({"type": "eq", "key": "tenant", "value": "acme"})
NEW = parse_filter({"type": "gt", "key": "year", "value": 2020})


@pytest.mark.parametrize("held", SCOPES)
@pytest.mark.parametrize("needed", SCOPES)
def test_a_scope_is_enough_for_itself_and_admin_for_all(held: Scope, needed: Scope) -> None:
    rights = Rights(frozenset({held}))
    if held in {needed, "admin"}:
        rights.require(needed)
    else:
        with pytest.raises(ForbiddenError, match=f"has not the scope {needed}: it has {held}"):
            rights.require(needed)


def test_one_of_several_scopes_is_enough() -> None:
    Rights(frozenset({"ingest"})).require("query", "ingest")
    with pytest.raises(ForbiddenError, match="it has none"):
        Rights(frozenset()).require("query", "ingest")


def test_the_whole_node_is_for_those_without_restrictions() -> None:
    ALL.require_whole()
    for rights, said in (
        (Rights(collections=frozenset({"a"})), "collections"),
        (Rights(collections=frozenset(), filter=ACME), "collections"),
        (Rights(filter=ACME), "documents, by its filter"),
    ):
        with pytest.raises(ForbiddenError, match=f"restricted to some of its {said}$"):
            rights.require_whole()


def test_a_collection_is_granted_by_its_name_or_by_an_alias_either_way() -> None:
    aliases = {"live": "one", "other": "two"}
    by_name, by_alias = Rights(collections=frozenset({"one"})), Rights(collections=frozenset({"live"}))
    assert ALL.collection("anything", aliases) == "anything"
    assert by_name.collection("one", aliases) == "one"
    assert by_name.collection("live", aliases) == "one", "the alias is followed now: it may be moved in a moment"
    assert by_alias.collection("live", aliases) == "live"
    assert by_alias.reach(aliases) == {"one"}
    assert by_alias.reach({"live": "two"}) == {"two"}
    assert by_alias.known_as("one", aliases) == "live"
    assert by_alias.known_as("two", aliases) is None
    assert by_name.known_as("one", aliases) == ALL.known_as("one", aliases) == "one"
    for rights, name in ((by_name, "two"), (by_name, "other"), (by_name, "absent"), (by_alias, "one")):
        assert not rights.covers(name, aliases)
        with pytest.raises(ForbiddenError, match=f"may not use a collection of the name '{name}'"):
            rights.collection(name, aliases)


def test_a_filter_is_joined_to_every_other() -> None:
    rights = Rights(filter=ACME)
    assert rights.sees({"tenant": "acme"})
    assert not rights.sees({"tenant": "other"})
    assert not rights.sees({})
    assert ALL.sees({})
    both = rights.both(NEW)
    assert matches(both, {"tenant": "acme", "year": 2024})
    assert not matches(both, {"tenant": "other", "year": 2024})
    assert not matches(both, {"tenant": "acme", "year": 1999})
    assert ALL.both(NEW) is NEW
