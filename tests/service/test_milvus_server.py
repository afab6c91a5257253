"""The Milvus server that settings name, where no server and no client of it is."""

import sys
from typing import Any

import pytest
from pydantic import ValidationError

from service.errors import ExtraMissingError
from service.milvus_server import milvus_server
from service.milvus_settings import MilvusSettings


def test_without_the_setting_there_is_none() -> None:
    assert milvus_server(MilvusSettings()) is None


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {"pymilvus", "grpc"}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "indexes.milvus_client", raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ExtraMissingError, match=r"index\.milvus\.url is 'http://m:19530'.*-e '\.\[milvus\]'"):
        milvus_server(MilvusSettings(url="http://m:19530"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "m:19530"}, "url"),
        ({"url": "http://user:secret@m:19530"}, "index.milvus.token takes them"),
        ({"url": "http://"}, "has no host"),
        ({"url": "http://m", "type": "IVF_PQ"}, "type"),
        ({"url": "http://m", "database": "a-b"}, "database"),
        ({"url": "http://m", "consistency": "Eventually"}, "consistency"),
    ],
)
def test_what_names_no_server_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MilvusSettings(**given)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(MilvusSettings(url="http://m", token="user:secret"))
