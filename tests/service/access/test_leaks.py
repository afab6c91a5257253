"""Whatever is tried with a key, nothing is seen or changed that the key does not grant."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from service.access.keys import Keys
from tenants.estate import Estate, holders, planted
from tenants.intruder import Intruder

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
SEED = int(os.environ.get("SEED", "20261125"))
REQUESTS = int(os.environ.get("REQUESTS", "1500"))
ADMIN = "an admin key of more than thirty-two characters"


@pytest.fixture
def estate(open_api: OpenApi, tmp_path: Path) -> Iterator[Estate]:
    made = holders(Keys(tmp_path / "data"))
    with open_api(access={"admin_key": ADMIN}) as http:
        estate = Estate(http, ADMIN, planted(SEED), made)
        estate.fill()
        yield estate


@pytest.mark.timeout(1800)
def test_random_requests_show_and_change_nothing_that_is_hidden(estate: Estate) -> None:
    intruder, statuses = Intruder(estate, SEED), Counter[int]()
    hidden = {holder.name: set(estate.canaries_hidden_from(holder)) for holder in estate.holders}
    for number in range(REQUESTS):
        holder = estate.holders[number % len(estate.holders)]
        tried = intruder.draw(holder)
        reply = estate.asked(holder.key, tried.method, tried.path, **tried.body)
        statuses[reply.status_code] += 1
        assert reply.status_code < 500, f"{holder.name}: {tried}: {reply.text}"
        told = f"{reply.headers} {reply.text}"
        said = {word for word in hidden[holder.name] if tried.says(word)}
        leaked = [word for word in hidden[holder.name] - said if word in told]
        assert not leaked, f"seed {SEED}, request {number}: {holder.name} learns {leaked} by {tried}: {told}"
        if tried.method != "GET":
            hidden[holder.name] -= said  # its own jobs may name them from now on
    assert min(statuses[status] for status in (200, 403, 404)) > REQUESTS // 50, statuses
    _assert_untouched(estate)


def _assert_untouched(estate: Estate) -> None:
    """Documents that nobody with a key for writing can see are as they were."""
    writers = [holder for holder in estate.holders if holder.rights.scopes & {"ingest", "admin"}]
    untouchable = [each for each in estate.documents if not any(holder.sees(each) for holder in writers)]
    assert len(untouchable) >= 10
    for document in untouchable:
        stored = estate.asked(estate.admin, "GET", f"/v1/collections/{document.collection}/documents/{document.id}")
        assert stored.json()["text"] == document.body["text"]
        assert stored.json()["metadata"] == document.body["metadata"]
