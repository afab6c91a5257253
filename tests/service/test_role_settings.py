"""What the role of a process asks of its other settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from redis_process import SHARED
from service.settings import Settings

MILVUS: dict[str, Any] = {"index": {"milvus": {"url": "http://milvus:19530"}}}
REDIS: dict[str, Any] = {"redis": {"url": "redis://redis:6379", "secret": SHARED}}
REPLICA: dict[str, Any] = {"server": {"role": "replica"}}
ADMIN = {"access": {"admin_key": "a-key-of-an-operator-with-40-characters!"}}


@pytest.mark.parametrize("keys", [ADMIN, {"access": {"keys": "replicated"}}], ids=["admin key", "replicated"])
def test_a_replica_has_milvus_and_keys_from_elsewhere(keys: dict[str, Any]) -> None:
    assert Settings(**REPLICA, **MILVUS, **REDIS, **keys).server.role == "replica"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (REDIS | ADMIN, r"index\.milvus\.url is not set"),
        (MILVUS | REDIS | {"access": {"keys": "published"}}, r"access\.keys is 'published'"),
        (MILVUS | REDIS, r"access\.keys is 'own'.*set access\.admin_key"),
        (MILVUS | {"access": {"keys": "replicated"}}, r"access\.keys is 'replicated', but redis\.url is not set"),
    ],
)
def test_one_that_would_need_a_data_directory_is_refused_by_the_settings_name(
    given: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(**REPLICA, **given)


def test_a_writer_needs_none_of_it() -> None:
    assert Settings().server.role == "writer"
