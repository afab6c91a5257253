"""What of a Redis server can be set, and what is refused before anything is asked."""

import pytest
from pydantic import ValidationError

from service.settings import Settings

SHARED = "what all processes know, with more than 32 characters"


@pytest.mark.parametrize("url", ["redis://host:6379", "rediss://host", "unix:///run/redis.sock", "redis://[::1]:7000/"])
def test_a_url_says_where_and_nothing_else(url: str) -> None:
    assert Settings(redis={"url": url, "secret": SHARED}).redis.url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:password@host:6379", "redis.password"),
        ("redis://user@host:6379", "redis.username"),
        ("rediss://host?ssl_cert_reqs=none", "options"),
        ("redis://host/1", "redis.database"),
        ("redis://", "host"),
        ("http://host", "pattern"),
        ("host:6379", "pattern"),
    ],
)
def test_a_url_with_more_is_refused_without_showing_a_password(url: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Settings(redis={"url": url, "secret": SHARED})
    if "password@" in url:
        assert ":password@" not in str(refused.value.errors(include_input=False, include_url=False))


def test_there_is_no_redis_without_a_secret() -> None:
    with pytest.raises(ValidationError, match="secret is missing"):
        Settings(redis={"url": "redis://host"})
    with pytest.raises(ValidationError, match="at least 32"):
        Settings(redis={"url": "redis://host", "secret": "short"})


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"access": {"keys": "published"}}, "access.keys is 'published', but redis.url is not set"),
        ({"access": {"keys": "replicated"}}, "access.keys is 'replicated', but redis.url is not set"),
        ({"results": {"cache": "redis"}}, "results.cache is 'redis', but redis.url is not set"),
    ],
)
def test_what_is_shared_needs_a_place(group: dict[str, dict[str, str]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**group)
    Settings(**group, redis={"url": "redis://host", "secret": SHARED})


def test_nothing_is_shared_and_nothing_remembered_by_default() -> None:
    settings = Settings()
    assert (settings.redis.url, settings.access.keys, settings.results.cache) == (None, "own", "off")
