"""Jobs on the disk, whose turn it is, and what a raw input may meet."""

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from indexes.errors import DataDirectoryError, StoreUnavailableError
from service.ingest.jobs.fair_jobs import FairJobs
from service.ingest.jobs.job import Ask, Job, JobError, Outcome, Raw
from service.ingest.jobs.jobs_wanted import JobsWanted
from service.ingest.jobs.open_job import OpenJob
from service.ingest.jobs.store import JobStore, open_or_set_aside

LARGE = 10**6


def job(id_: str, seq: int = 1, caller: str = "", **fields: object) -> Job:
    ask = Ask("a", "a.txt", "T", {"k": [1]}, "http://x")
    return replace(Job(0, id_, "docs", "uid", seq, "file", caller, ask, Raw(1, b"x"), 1), **fields)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "jobs")
    yield store
    store.close()


def received(store: JobStore, id_: str, data: bytes = b"raw") -> Raw:
    incoming = store.raw.receive()
    incoming.copy(io.BytesIO(data))
    store.raw.keep(incoming, id_)
    return incoming.raw


def test_a_job_is_what_it_was(store: JobStore) -> None:
    added = store.add(job("j"))
    assert store.get("j") == added
    begun = store.begin(added)
    assert store.get("j") == begun
    assert (begun.status, begun.attempts) == ("running", 1)
    store.give_up(["j"])
    assert store.get("j") == replace(begun, status="queued", attempts=0)
    store.place([("j", "other", 7)])
    assert [(found.identity, found.seq) for found in store.take_up()] == [("other", 7)]


def test_a_guard_may_have_any_integer(store: JobStore) -> None:
    guard = {"type": "in", "key": "n", "value": [2**70, -(2**63), 1.5, "é"]}
    added = store.add(job("j", ask=Ask("a", guard=guard)))
    assert store.get("j") == added
    assert store.take_up() == [added]


def test_an_end_forgets_what_was_asked(store: JobStore, tmp_path: Path) -> None:
    raw = received(store, "j")
    outcome = Outcome(1, {"failed": 1}, (JobError("a", "invalid_request", "no", 3),), 5)
    ended = store.end(store.add(job("j", raw=raw)), "failed", outcome)
    assert store.get("j") == ended
    assert (ended.ask, ended.outcome) == (Ask("a"), outcome)
    assert not store.raw.path("j").exists()
    assert store.take_up() == []


def test_the_order_is_that_of_the_places(store: JobStore) -> None:
    for id_, seq in (("c", 3), ("a", 1), ("b", 2)):
        store.add(job(id_, seq))
    assert [found.id for found in store.take_up()] == ["a", "b", "c"]
    assert [found.id for found in store.page(JobsWanted(collection="docs", status="queued"), 2)] == ["b", "a"]


def test_orphans_are_removed(store: JobStore, tmp_path: Path) -> None:
    kept = received(store, "kept")
    store.add(job("kept", raw=kept))
    received(store, "orphan")
    half = store.raw.receive()
    half.write(b"half")
    half.finish()
    store.take_up()
    assert [path.name for path in (tmp_path / "jobs" / "raw").iterdir()] == ["kept"]
    assert store.raw.is_whole("kept", kept)
    store.raw.path("kept").write_bytes(b"raX")
    assert not store.raw.is_whole("kept", kept)


@pytest.mark.parametrize("column", ["kind", "status", "ask", "outcome", "raw_sha256", "seq", "total", "collection"])
def test_a_damaged_row_is_a_failed_job(store: JobStore, tmp_path: Path, column: str) -> None:
    store.add(job("j"))
    store.add(job("other", 2))
    with closing(sqlite3.connect(tmp_path / "jobs" / "jobs.db")) as database:
        database.execute(f"UPDATE jobs SET {column} = CAST('\xff{{' AS BLOB) WHERE id = 'j'")  # noqa: S608
        if column == "raw_sha256":
            database.execute("UPDATE jobs SET raw_sha256 = 'text' WHERE id = 'j'")
        database.commit()
    assert [found.id for found in store.take_up()] == ["other"]
    damaged = store.get("j")
    assert damaged is not None
    assert (damaged.status, damaged.outcome.errors[0].code) == ("failed", "job_damaged")


def test_prune_keeps_the_last(store: JobStore) -> None:
    for number in range(4):
        store.end(store.add(job(str(number), number)), "succeeded", Outcome())
    store.add(job("open", 9))
    store.prune(2, 3600)
    assert [found.id for found in store.page(JobsWanted(), 10)] == ["open", "3", "2"]
    store.prune(2, -1)
    assert [found.id for found in store.page(JobsWanted(), 10)] == ["open"]


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    store, _, said = open_or_set_aside(tmp_path / "jobs")
    assert said == ""
    store.close()
    (tmp_path / "jobs" / "jobs.db").write_bytes(b"garbage" * 1000)
    store, left, said = open_or_set_aside(tmp_path / "jobs")
    assert left == []
    assert "jobs.damaged-" in said
    store.add(job("j"))
    store.close()
    assert len(list(tmp_path.glob("jobs.damaged-*"))) == 1


def test_damage_deep_in_the_file_is_seen_at_the_start(tmp_path: Path) -> None:
    store, _, _ = open_or_set_aside(tmp_path / "jobs")
    store.add(job("j"))
    store.close()
    with (tmp_path / "jobs" / "jobs.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    store, left, said = open_or_set_aside(tmp_path / "jobs")
    store.close()
    assert left == []
    assert "jobs.damaged-" in said


def test_what_is_no_damage_gives_no_job_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _, _ = open_or_set_aside(tmp_path / "jobs")
    store.add(job("j"))
    store.close()
    with closing(sqlite3.connect(tmp_path / "jobs" / "jobs.db")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(DataDirectoryError, match="99"):
        open_or_set_aside(tmp_path / "jobs")
    with closing(sqlite3.connect(tmp_path / "jobs" / "jobs.db")) as database:
        database.execute("PRAGMA user_version = 1")
    with monkeypatch.context() as patch:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        patch.setattr("indexes.database.SqliteDatabase._connect", Mock(side_effect=full))
        with pytest.raises(StoreUnavailableError, match="full"):
            open_or_set_aside(tmp_path / "jobs")
    store, left, said = open_or_set_aside(tmp_path / "jobs")
    store.close()
    assert ([found.id for found in left], said) == (["j"], "")


def test_a_full_disk_leaves_nothing(store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError(28, "No space left on device")

    incoming = store.raw.receive()
    incoming.write(b"x")
    monkeypatch.setattr("service.ingest.jobs.raw_inputs.sync", refuse)
    with pytest.raises(StoreUnavailableError, match="No space left"):
        store.raw.keep(incoming, "j")
    assert list((tmp_path / "jobs" / "raw").iterdir()) == []


def taken(waiting: FairJobs, *, suspects: bool = True) -> list[str]:
    """All that find a place."""
    found = []
    while job := waiting.take(suspects=suspects):
        found.append(job.job.id)
    return found


def test_callers_take_turns_and_suspects_wait() -> None:
    waiting = FairJobs(8)
    for id_, caller in (("1", "x"), ("2", "x"), ("3", "x"), ("4", "y")):
        waiting.put(OpenJob(job(id_, caller=caller), None, is_suspect=id_ == "3"))
    assert taken(waiting, suspects=False) == ["1", "4", "2"]
    assert len(waiting) == 1
    assert taken(waiting) == ["3"]
    assert len(waiting) == 0


def waiting_job(id_: str, caller: str, *, is_large: bool = False, collection: str = "docs") -> OpenJob:
    return OpenJob(job(id_, caller=caller, raw=Raw(LARGE if is_large else 1, b"x"), collection=collection), None)


def test_large_jobs_of_one_caller_leave_places_for_small_ones_and_for_others() -> None:
    waiting = FairJobs(8)
    large = [waiting_job(f"x{number}", "x", is_large=True) for number in range(10)]
    for each in large:
        waiting.put(each)
    assert taken(waiting) == ["x0", "x1", "x2", "x3", "x4", "x5"]
    for number in range(3):
        waiting.put(waiting_job(f"small{number}", "x"))
    assert taken(waiting) == ["small0"], "the last place is not the caller's"
    for each in (waiting_job("y0", "y", is_large=True), waiting_job("y1", "y", is_large=True)):
        waiting.put(each)
    assert taken(waiting) == ["y0"], "what is new of another caller waits for nothing"
    waiting.leave(large[0])
    assert taken(waiting) == ["y1"], "who has least goes first"
    waiting.leave(large[1])
    waiting.leave(large[2])
    assert taken(waiting) == ["x6", "x7"], "large ones are not passed over for ever"


def test_the_one_who_has_least_goes_first_whatever_the_collection() -> None:
    waiting = FairJobs(8)
    for number in range(4):
        waiting.put(waiting_job(f"x{number}", "x", collection=f"c{number}"))
    assert taken(waiting) == ["x0", "x1", "x2", "x3"]
    waiting.put(waiting_job("x4", "x", collection="new"))
    for number in range(3):
        waiting.put(waiting_job(f"y{number}", "y"))
    assert taken(waiting) == ["y0", "y1", "y2", "x4"]


def test_a_single_place_is_anybodys() -> None:
    waiting = FairJobs(1)
    waiting.put(waiting_job("x", "x", is_large=True))
    assert taken(waiting) == ["x"]
