"""Schemathesis asks a live server for everything that its document says, and for what it says cannot be asked.

``EXAMPLES`` and ``SEED`` of the environment make the run longer or another one; ``make schema-test`` sets them.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).parent / "conformance" / "schemathesis.toml"
EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
SEED = int(os.environ.get("SEED", "1"))
SHOWN = 20_000
IS_THOROUGH = EXAMPLES > 100
# Without a key no other route would answer from then on; it is asked of a server that has one.
TURNS_KEYS_ON = "create_key"
ADMIN = "a-key-of-an-operator-with-40-characters!"
# The grammar of filters alone is hundreds of cases, every purge rewrites files, and a batch is slow to generate. What
# these take is taken by query and put_document too; the other phases ask them all the same.
COSTLY_TO_COVER = ("search", "delete_documents", "purge", "put_batch")


def schemathesis(address: str, phases: str, examples: int, *more: str) -> subprocess.CompletedProcess[str]:
    asked = [*more, "--phases", phases, "--max-examples", str(examples), "--seed", str(SEED), "--no-color"]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG.name, "run"]
    env = {**os.environ, "NO_PROXY": "*", "PYTHONWARNINGS": "default", "COLUMNS": "160"}
    return subprocess.run(
        [*command, f"{address}/openapi.json", *asked],
        cwd=CONFIG.parent,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )


Serve = Callable[..., str]


@pytest.fixture
def serve(listening: Callable[..., str], overlap: object, language_model: Callable[..., str]) -> Serve:
    """(**settings) -> address of a server with a reranker, a language model and a few documents."""
    model = language_model([b'data: {"choices":[{"delta":{"content":"On Friday. [1]"}}]}\n\n', b"data: [DONE]\n\n"])

    def served(**settings: object) -> str:
        address = listening(
            rerank={"model": "overlap"},
            llm={"main": {"url": model, "model": "m"}},
            server={"max_body_bytes": 200_000},
            jobs={"default_wait_ms": 200},
            **settings,
        )
        with httpx.Client(base_url=address, headers=bearer(ADMIN)) as client:
            for number in range(3):
                body = {"text": f"The audit is on Friday, says memo {number}.", "metadata": {"tenant": "acme"}}
                client.put(f"/v1/collections/docs/documents/memo-{number}", json=body).raise_for_status()
        return address

    return served


@pytest.mark.timeout(0 if IS_THOROUGH else 1200)
@pytest.mark.parametrize(("phases", "share"), [("examples,fuzzing", 1), ("coverage", 1), ("stateful", 5)])
def test_every_route_does_what_the_document_says(serve: Serve, phases: str, share: int) -> None:
    print(f"seed {SEED}, {EXAMPLES * share} examples of {phases}")  # noqa: T201
    left_out = [TURNS_KEYS_ON, *(COSTLY_TO_COVER if phases == "coverage" and not IS_THOROUGH else ())]
    found_nothing(serve(), phases, EXAMPLES * share, *excluding(left_out))


@pytest.mark.timeout(0 if IS_THOROUGH else 1200)
def test_every_route_does_so_for_an_operators_key(serve: Serve) -> None:
    print(f"seed {SEED}, {EXAMPLES} examples")  # noqa: T201
    address = serve(access={"admin_key": ADMIN, "open_metrics": True})
    found_nothing(address, "examples,fuzzing,stateful", EXAMPLES, *showing(ADMIN))


@pytest.mark.timeout(0 if IS_THOROUGH else 1200)
def test_every_route_does_so_for_a_key_that_may_do_little(serve: Serve) -> None:
    print(f"seed {SEED}, {EXAMPLES} examples")  # noqa: T201
    address = serve(access={"admin_key": ADMIN, "open_metrics": True})
    wanted = {
        "name": "reader",
        "scopes": ["query", "ingest"],
        "collections": ["docs"],
        "filter": {"type": "eq", "key": "tenant", "value": "acme"},
    }
    made = httpx.post(f"{address}/v1/admin/keys", json=wanted, headers=bearer(ADMIN)).raise_for_status()
    # Most of what is asked it may not have, right or wrong.
    found_nothing(address, "examples,fuzzing,stateful", EXAMPLES, *showing(made.json()["key"]))


@pytest.mark.timeout(0 if IS_THOROUGH else 1200)
def test_the_routes_of_keys_do_what_the_document_says(listening: Callable[..., str]) -> None:
    print(f"seed {SEED}, {EXAMPLES} examples")  # noqa: T201
    address = listening(access={"admin_key": ADMIN, "open_metrics": True})
    only = ("--include-path-regex", "^/v1/admin/keys")
    found_nothing(address, "coverage,fuzzing", EXAMPLES, *only, *showing(ADMIN))


def found_nothing(address: str, phases: str, examples: int, *more: str) -> None:
    """Run, and fail with what it said."""
    run = schemathesis(address, phases, examples, *more)
    assert run.returncode == 0, run.stdout[-SHOWN:] + run.stderr[-SHOWN:]
    assert "Tested" in run.stdout
    assert defects(address) == 0, "a 5xx that nothing foresaw"


def excluding(operations: Sequence[str]) -> list[str]:
    """Arguments that leave them out."""
    return [part for name in operations for part in ("--exclude-operation-id", name)]


def showing(key: str) -> list[str]:
    """Arguments that send it with every request."""
    return ["--header", f"Authorization: {bearer(key)['Authorization']}"]


def bearer(key: str) -> dict[str, str]:
    """Its header."""
    return {"Authorization": f"Bearer {key}"}


def defects(address: str) -> float:
    """Replies that the server itself counted as defects."""
    families = text_string_to_metric_families(httpx.get(f"{address}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    counted = [s.value for s in samples if s.name == "quarry_problems_total" and s.labels["code"] == "internal_error"]
    return sum(counted)
