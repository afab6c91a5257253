"""The driver against servers that misbehave: every arrival has a sample of the right class."""

import gc
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import which
from typing import Any

import pytest

pytest.importorskip("geventhttpclient", reason="the loadtest extra is not installed")

from gevent.server import StreamServer

from fake_quarry import FAULT, STRANGE
from loadtests.open_loop.offering import Offering
from loadtests.open_loop.outgoing import Desk
from loadtests.plan import Material, Plan, Summary
from loadtests.route import Route
from loadtests.sample import Outcome, Sample, read
from loadtests.shape import Phase

MATERIAL = Material(questions=["What is closed?", "Which valve?"], texts=["A valve is closed."])
# A machine that others use too may stand still for a while.
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def collected_here() -> Iterator[None]:
    """What belongs to gevent may not be collected on another thread of this process: it would wait there for ever."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture(scope="module")
def url(fake: Callable[[], Any]) -> str:
    return str(fake().url)


def offered(
    folder: Path, url: str, mix: str, fault: str = "", places: int = 64, timeout_s: float = PATIENCE_S
) -> Sequence[Sample]:
    """A second of about forty arrivals, as the driver recorded them."""
    plan = plan_of(folder, url, mix, places, timeout_s)
    fired: list[Sample] = []
    Offering(plan, Desk(plan, MATERIAL), {FAULT: fault}, fired.append).run()
    samples = read(plan.samples)
    assert [each.as_line() for each in samples] == [each.as_line() for each in fired]
    assert sorted(each.number for each in samples) == [each.number for each in plan.arrivals()]
    assert Summary.model_validate_json(plan.summary.read_bytes()).cpu_s > 0
    return samples


def plan_of(folder: Path, url: str, mix: str, places: int = 64, timeout_s: float = PATIENCE_S) -> Plan:
    """A second of about forty arrivals."""
    return Plan(
        url=url,
        collection="docs",
        phases=[Phase.steady("load", 1.0, 40.0)],
        mix=mix,
        seed=5,
        nonce="one",
        places=places,
        late_s=PATIENCE_S if places > 1 else 2.0,
        timeout_s=timeout_s,
        deadline_ms={Route.SEARCH: 1000},
        material=folder / "material.json",
        samples=folder / "samples.jsonl",
        summary=folder / "summary.json",
    )


def outcomes(
    folder: Path, url: str, mix: str, fault: str = "", places: int = 64, timeout_s: float = PATIENCE_S
) -> Counter[Outcome]:
    return Counter(each.outcome for each in offered(folder, url, mix, fault, places, timeout_s))


def test_every_route_is_answered(tmp_path: Path, url: str) -> None:
    samples = offered(tmp_path, url, "mix", places=12)
    assert {each.outcome for each in samples} == {Outcome.OK}
    assert {each.route for each in samples} == set(Route)
    for each in samples:
        assert each.started_s is not None
        assert each.ended_s is not None
        assert each.at_s <= each.started_s <= each.ended_s
        assert len(each.itl_ms) == (4 if each.route.is_streamed else 0)
        assert (each.first_s is not None) is each.route.is_streamed
        assert each.is_degraded is (each.route is Route.QUERY)


def test_sheds_are_a_class_of_their_own(tmp_path: Path, url: str) -> None:
    counted = outcomes(tmp_path, url, "search", "shed")
    assert counted[Outcome.SHED] == counted.total() // 2
    assert set(counted) == {Outcome.SHED, Outcome.OK}


def test_a_server_that_lacks_something_does_not_shed(tmp_path: Path, url: str) -> None:
    assert set(outcomes(tmp_path, url, "search", "down")) == {Outcome.ERROR}


@pytest.mark.parametrize("mix", ["stream", "chat"])
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("cut", Outcome.HANG_UP),
        ("undone", Outcome.BROKEN),
        ("more", Outcome.BROKEN),
        ("error", Outcome.ERROR),
        ("busy", Outcome.SHED),
    ],
)
def test_a_stream_that_does_not_end_well_is_no_success(
    tmp_path: Path, url: str, mix: str, fault: str, outcome: Outcome
) -> None:
    assert set(outcomes(tmp_path, url, mix, fault)) == {outcome}


def test_an_answer_that_is_not_its_tokens_is_no_success(tmp_path: Path, url: str) -> None:
    assert set(outcomes(tmp_path, url, "stream", "other")) == {Outcome.BROKEN}


@pytest.mark.parametrize(("mix", "fault"), [("stream", "strange"), *(("chat", fault) for fault in STRANGE)])
def test_a_reply_of_another_shape_is_broken_and_ends_nothing(tmp_path: Path, url: str, mix: str, fault: str) -> None:
    assert set(outcomes(tmp_path, url, mix, fault)) == {Outcome.BROKEN}


def test_what_is_lost_is_not_sent_again(tmp_path: Path) -> None:
    taken: list[bytes] = []

    def hang_up(connection: socket.socket, _: object) -> None:
        taken.append(connection.recv(1 << 16))

    with StreamServer(("127.0.0.1", 0), hang_up) as server:
        server.start()
        counted = outcomes(tmp_path, f"http://127.0.0.1:{server.server_port}", "ingest")
    assert set(counted) == {Outcome.HANG_UP}
    assert len(taken) == counted.total()


def test_silence_is_a_timeout(tmp_path: Path, url: str) -> None:
    assert set(outcomes(tmp_path, url, "query", "silent", timeout_s=0.5)) == {Outcome.TIMEOUT}


def test_nobody_there_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert set(outcomes(tmp_path, nobody, "search")) == {Outcome.HANG_UP}


def test_a_certificate_of_ssl_cert_file_is_trusted_and_no_other(
    tmp_path: Path, fake: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "node.crt"
    openssl = which("openssl") or pytest.skip("openssl is not installed")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node", "-days", "2"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "node.key"), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True, timeout=PATIENCE_S)
    url = fake("--certificate", str(certificate)).url
    assert set(outcomes(tmp_path, url, "mix")) == {Outcome.HANG_UP}
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert set(outcomes(tmp_path, url, "mix")) == {Outcome.OK}


def test_without_a_free_place_a_start_is_missed(tmp_path: Path, url: str) -> None:
    counted = outcomes(tmp_path, url, "query", "silent", places=1, timeout_s=6.0)
    assert counted[Outcome.MISSED] == counted.total() - 1


def test_a_prefix_of_the_server_is_asked_and_documents_are_new_in_each_run(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "http://127.0.0.1:9/rag/", "mix")
    arrival = next(each for each in plan.arrivals() if each.route is Route.INGEST)
    one, other = (Desk(plan.model_copy(update={"nonce": nonce}), MATERIAL).outgoing(arrival) for nonce in ("a", "b"))
    assert one.path == other.path
    assert one.path.startswith("/rag/v1/collections/docs/documents/load-")
    assert one.body != other.body
    assert all(Desk(plan, MATERIAL).outgoing(each).path.startswith("/rag/v1/") for each in plan.arrivals())
