"""Calls of Redis: each is given its own answer, and none waits longer than it may."""

import asyncio
import random
import socket
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from redis_process import RedisProcess
from service.redis.lost import RedisLostError
from service.redis.server import RedisServer
from service.redis_settings import RedisSettings
from service.telemetry.metrics import Metrics

pytestmark = pytest.mark.cluster

ECHO = "return ARGV[1]"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_whoever_leaves_another_one_is_not_given_its_answer(redis: RedisProcess, chance: random.Random) -> None:
    async def asked(server: RedisServer, number: int) -> None:
        assert await server.run("limits", ECHO, [], [number]) == str(number).encode()

    async def scenario() -> None:
        async with RedisServer(RedisSettings(**redis.settings()), Metrics().redis) as server:
            for start in range(0, 3000, 100):
                tasks = [asyncio.create_task(asked(server, start + place)) for place in range(100)]
                for _ in range(chance.randrange(8)):
                    await asyncio.sleep(0)
                for task in chance.sample(tasks, 50):
                    task.cancel()
                await asyncio.wait(tasks)
                assert not [task for task in tasks if not task.cancelled() and task.exception()]
            assert server.cause is None
            assert len(redis.client().client_list()) < 40, "connections are bounded"

    run(scenario())


def test_a_redis_that_thaws_gives_nobody_an_old_answer(redis: RedisProcess) -> None:
    async def scenario() -> None:
        settings = RedisSettings(**redis.settings(timeout_ms=300))
        async with RedisServer(settings, Metrics().redis, probe_s=0.01) as server:
            for turn in range(3):
                redis.freeze()
                calls = [server.run("limits", ECHO, [], [f"{turn} {number}"]) for number in range(40)]
                replies = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(reply, RedisLostError) for reply in replies)
                redis.thaw()
                for number in range(200):
                    with suppress(RedisLostError):
                        assert await server.run("limits", ECHO, [], [number]) == str(number).encode()
                while server.cause is not None:  # noqa: ASYNC110  the probe announces nothing
                    await asyncio.sleep(0.01)

    run(scenario())


@pytest.mark.parametrize("trusted", ["its own", "another", "the system's"])
def test_with_tls_only_who_can_prove_to_be_the_server_is_believed(
    redis: RedisProcess, tmp_path: Path, trusted: str
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    port = serve_tls(redis, authority, tmp_path)
    (authority if trusted == "its own" else other).cert_pem.write_to_path(tmp_path / "trusted.pem")
    known = {} if trusted == "the system's" else {"ca_certs": tmp_path / "trusted.pem"}

    async def scenario() -> None:
        settings = RedisSettings(**redis.settings(**known) | {"url": f"rediss://localhost:{port}"})
        async with RedisServer(settings, Metrics().redis) as server:
            if trusted == "its own":
                assert await server.run("limits", ECHO, [], [1]) == b"1"
            else:
                assert "CERTIFICATE_VERIFY_FAILED" in str(server.cause)

    run(scenario())


def serve_tls(redis: RedisProcess, authority: trustme.CA, folder: Path) -> int:
    """The port."""
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    with socket.create_server(("localhost", 0)) as free:
        port = int(free.getsockname()[1])
    redis.kill()
    certificate = ["--tls-cert-file", str(folder / "certificate.pem"), "--tls-key-file", str(folder / "key.pem")]
    redis.start("--tls-port", str(port), "--tls-auth-clients", "no", *certificate, "--bind", "127.0.0.1")
    return port


@pytest.mark.parametrize("refusal", ["password", "nothing there", "not a redis"])
def test_a_server_that_refuses_is_lost_from_the_start_and_says_why(redis: RedisProcess, refusal: str) -> None:
    async def scenario() -> None:
        settings = RedisSettings(**redis.settings())
        if refusal == "password":
            redis.client().config_set("requirepass", "something")
        elif refusal == "nothing there":
            redis.kill()
        other = await asyncio.start_server(greet, "127.0.0.1", 0)
        if refusal == "not a redis":
            port = other.sockets[0].getsockname()[1]
            settings = RedisSettings(**redis.settings() | {"url": f"redis://127.0.0.1:{port}"})
        async with other, RedisServer(settings, Metrics().redis) as server:
            told = server.describe()
            assert told["state"] == "lost"
            assert told["cause"]
            with pytest.raises(RedisLostError):
                await server.run("limits", ECHO, [], [1])

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    run(scenario())
