"""Keys that one process publishes and others follow: told at once, found in any case, trusted only with the secret."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from redis_process import PATIENCE_S, SHARED, RedisProcess
from service.access.key import Presented
from service.access.keys import Keys, NewKey
from service.access.replicated_keys import ReplicatedKeys
from service.access.rights import ALL, Rights
from service.errors import KeysUnavailableError, UnauthenticatedError
from service.redis.key_follower import KeyFollower
from service.redis.key_publisher import KeyPublisher
from service.redis.lost import RedisLostError
from service.redis.published_keys import PublishedKeys
from service.redis.seal import Seal
from service.redis.server import RedisServer
from service.redis_settings import RedisSettings
from service.telemetry.metrics import Metrics

pytestmark = pytest.mark.cluster

NEVER_S = 10_000.0
OFTEN_S = 0.01
READER = NewKey("reader", Rights(frozenset({"query"}), frozenset({"docs"})))


class Writer:
    """The process that has the keys."""

    def __init__(self, redis: RedisProcess, folder: Path, look_s: float, secret: str = SHARED) -> None:
        self.server = RedisServer(RedisSettings(**redis.settings()), Metrics().redis, OFTEN_S)
        self.published = PublishedKeys(self.server, Seal(secret))
        self.keys = Keys(folder)
        self.task = KeyPublisher(self.keys, self.published, look_s)

    async def made(self, new: NewKey = READER) -> Presented:
        return (await asyncio.to_thread(self.keys.create, new))[1]

    async def revoked(self, text: Presented) -> None:
        await asyncio.to_thread(self.keys.revoke, text.id)


class Reader:
    """A process that takes them."""

    def __init__(self, redis: RedisProcess, look_s: float) -> None:
        self.server = RedisServer(RedisSettings(**redis.settings()), Metrics().redis, OFTEN_S)
        self.keys = ReplicatedKeys()
        self.published = PublishedKeys(self.server, Seal(SHARED))
        self.task = KeyFollower(self.keys, self.published, self.server, look_s)

    def lets_in(self, text: Presented) -> bool:
        try:
            self.keys.shown(str(text))
        except (UnauthenticatedError, KeysUnavailableError):
            return False
        return True

    async def comes_to(self, text: Presented, *, lets_in: bool) -> None:
        await until(lambda: self.lets_in(text) == lets_in)


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it never came about"
        await asyncio.sleep(OFTEN_S)


@asynccontextmanager
async def running(*processes: Writer | Reader) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for process in processes:
            await stack.enter_async_context(process.server)
            await stack.enter_async_context(process.task)
        yield


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def heard(redis: RedisProcess) -> None:
    """Somebody listens."""
    client = redis.client()
    await until(lambda: bool(client.pubsub_channels()))


def test_a_change_is_told_at_once(redis: RedisProcess, tmp_path: Path) -> None:
    async def scenario() -> None:
        writer, reader = Writer(redis, tmp_path, NEVER_S), Reader(redis, NEVER_S)
        async with running(writer, reader):
            await heard(redis)
            text = await writer.made()
            await reader.comes_to(text, lets_in=True)
            assert reader.keys.shown(str(text)) == writer.keys.shown(str(text)), "with its rights and limits"
            await writer.revoked(text)
            await reader.comes_to(text, lets_in=False)

    run(scenario())


def test_a_change_is_found_where_the_message_is_lost(redis: RedisProcess, tmp_path: Path) -> None:
    redis.kill()
    redis.start("--rename-command", "PUBLISH", "")

    async def scenario() -> None:
        writer, reader = Writer(redis, tmp_path, NEVER_S), Reader(redis, OFTEN_S)
        async with running(writer, reader):
            text = await writer.made()
            await reader.comes_to(text, lets_in=True)
            await writer.revoked(text)
            await reader.comes_to(text, lets_in=False)

    run(scenario())


def test_a_redis_that_lost_everything_is_told_again_and_nobody_is_let_in_or_out_for_it(
    redis: RedisProcess, tmp_path: Path
) -> None:
    async def scenario() -> None:
        writer, reader = Writer(redis, tmp_path, OFTEN_S), Reader(redis, OFTEN_S)
        kept, gone = await writer.made(), await writer.made()
        async with running(writer, reader):
            await reader.comes_to(gone, lets_in=True)
            redis.kill()
            await until(lambda: writer.server.cause is not None and reader.server.cause is not None)
            await writer.revoked(gone)
            assert reader.lets_in(kept), "what was known last holds"
            assert reader.lets_in(gone)
            aged = reader.keys.age_s
            await until(lambda: reader.keys.age_s > aged)
            redis.start()
            await reader.comes_to(gone, lets_in=False)
            assert reader.lets_in(kept)

    run(scenario())


def test_redis_is_told_no_secret(redis: RedisProcess, tmp_path: Path) -> None:
    async def scenario() -> None:
        writer, reader = Writer(redis, tmp_path, NEVER_S), Reader(redis, NEVER_S)
        text = await writer.made()
        async with running(writer, reader):
            await reader.comes_to(text, lets_in=True)
            held = redis.client().get("quarry:keys:book")
            assert text.id.encode() in held
            assert text.secret.encode() not in held

    run(scenario())


@pytest.mark.parametrize("put", ["forged", "garbage", "cut", "empty"])
def test_what_was_not_sealed_with_the_secret_changes_nothing(redis: RedisProcess, tmp_path: Path, put: str) -> None:
    async def scenario() -> None:
        writer, reader = Writer(redis, tmp_path / "one", NEVER_S), Reader(redis, NEVER_S)
        forger = Writer(redis, tmp_path / "other", NEVER_S, secret="another secret of more than 32 characters")
        text = await writer.made()
        stranger = await forger.made(NewKey("stranger", ALL))
        async with running(writer, reader):
            await reader.comes_to(text, lets_in=True)
            client = redis.client()
            if put == "forged":
                async with forger.server:
                    await forger.task.publish()
            else:
                held = client.get("quarry:keys:book")
                client.set("quarry:keys:book", {"garbage": b"x" * 200, "cut": held[:-1], "empty": b""}[put])
            await reader.task.look()
            assert reader.lets_in(text)
            assert not reader.lets_in(stranger)
            await writer.task.publish()
            await reader.task.look()
            assert client.get("quarry:keys:book") == writer.task._value, "the writer puts its own there again"

    run(scenario())


def test_who_was_never_told_lets_nobody_in_and_says_why(redis: RedisProcess, tmp_path: Path) -> None:
    redis.kill()

    async def scenario() -> None:
        writer, reader = Writer(redis, tmp_path, OFTEN_S), Reader(redis, OFTEN_S)
        text = await writer.made()
        async with running(writer, reader):
            with pytest.raises(KeysUnavailableError, match="no process has published keys yet"):
                reader.keys.shown(str(text))
            with pytest.raises(RedisLostError):
                await reader.task.look()
            assert reader.keys.trouble
            redis.start()
            await reader.comes_to(text, lets_in=True)
            assert reader.keys.trouble is None

    run(scenario())
