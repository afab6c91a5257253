"""quarry calibrate from end to end, before a server in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.access.keys import Keys
from service.cli.main import app
from tenants.asking import ADMIN, made

PLACES = [
    "Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper", "Kelp", "Larch", "Maple",
    "Nettle", "Oak", "Poplar", "Quince", "Rowan", "Sorrel", "Tansy", "Umber", "Vetch", "Willow", "Yarrow",
]  # fmt: skip
STARS = [
    "Altair", "Bellatrix", "Canopus", "Deneb", "Electra", "Fomalhaut", "Gacrux", "Hadar", "Izar", "Jabbah", "Kochab",
    "Lesath", "Mirach", "Naos", "Okab", "Polaris", "Rigel", "Sirius", "Thuban", "Unuk", "Vega", "Wezen",
]  # fmt: skip
ANSWERABLE = [f"When does the ferry of {place} leave the harbour?" for place in PLACES]
FOREIGN = [f"Which spectral class has {star} among bright stars?" for star in STARS]
TOO_LONG = "ferry " * 3000
NO_SERVER = "http://127.0.0.1:9"


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["calibrate", *(str(argument) for argument in arguments)], env={"COLUMNS": "200"})


def calibrated(*arguments: str | Path, exit_code: int = 0) -> dict[str, Any]:
    done = quarry(*arguments, "--json")
    assert done.exit_code == exit_code, done.output
    (line,) = done.stdout.splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def put_coast(url: str, key: str = "") -> None:
    """The documents, in the collection ``coast``."""
    for hour, place in enumerate(PLACES):
        body = {"text": f"The ferry of {place} does leave the harbour at {hour}. Tickets cost four crowns."}
        body |= {"metadata": {"tenant": "acme"}} if key else {}
        path = f"{url}/v1/collections/coast/documents/{place}"
        httpx.put(path, json=body, headers=headers(key), trust_env=False).raise_for_status()


def kept(url: str, key: str = "") -> float | None:
    """The collection's own threshold."""
    reply = httpx.get(f"{url}/v1/collections/coast", headers=headers(key), trust_env=False)
    value: float | None = reply.json()["min_confidence"]
    return value


def prefer(url: str, value: float) -> None:
    httpx.put(f"{url}/v1/collections/coast", json={"min_confidence": value}, trust_env=False).raise_for_status()


@pytest.fixture
def lists(tmp_path: Path) -> list[str]:
    """The options that name questions which the coast answers, and others."""
    for name, questions in (("answerable", ANSWERABLE), ("unanswerable", FOREIGN)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{question}\n" for question in questions))
    return ["--answerable", str(tmp_path / "answerable.txt"), "--unanswerable", str(tmp_path / "unanswerable.txt")]


@pytest.fixture
def coast(listening: Callable[..., str]) -> str:
    url = listening()
    put_coast(url)
    return url


def test_a_threshold_is_chosen_and_holds(coast: str, lists: list[str]) -> None:
    report = calibrated("coast", *lists, "--url", coast)
    threshold = report["threshold"]
    assert 0 < threshold < 1
    assert kept(coast) == threshold
    assert (report["set"], report["previous"]) == (True, None)
    assert report["questions"] == {"answerable": 24, "unanswerable": 22, "foreign": 0}
    assert report["rule"] == {"answered": 0.95, "abstained": 0.0}
    assert report["on_all"]["answered"]["n"] == 24
    assert report["on_all"]["abstained_foreign"]["value"] is None
    assert {name: report["held_out"][name]["value"] for name in ("answered", "abstained")} == {
        "answered": 1.0, "abstained": 1.0,
    }  # fmt: skip
    assert report["held_out"]["folds"] == len(report["held_out"]["thresholds"]) == 10
    assert report["auroc"]["auroc"]["value"] == 1.0
    assert report["collection"]["documents"] == 24
    assert report["curve"][0]["answered"] == 1.0
    statuses = [
        httpx.post(f"{coast}/v1/query", json={"query": text, "collection": "coast"}, trust_env=False).json()["status"]
        for text in (*ANSWERABLE, *FOREIGN)
    ]
    assert statuses == ["ok"] * 24 + ["no_answer"] * 22


def test_what_was_set_before_changes_nothing(coast: str, lists: list[str]) -> None:
    first = calibrated("coast", *lists, "--url", coast)
    prefer(coast, 1.0)
    again = calibrated("coast", *lists, "--url", coast, "--concurrency", "3")
    assert again["previous"] == 1.0
    assert [again[name] for name in ("threshold", "held_out", "curve")] == [
        first[name] for name in ("threshold", "held_out", "curve")
    ]
    assert kept(coast) == first["threshold"]


def test_a_dry_run_shows_and_sets_nothing(coast: str, lists: list[str], tmp_path: Path) -> None:
    page = tmp_path / "curve.html"
    done = quarry("coast", *lists, "--url", coast, "--dry-run", "--html", page)
    assert done.exit_code == 0, done.output
    assert "coast: 24 answerable, 22 unanswerable questions" in done.stdout
    assert "the greatest balanced accuracy of those that answer 0.95" in done.stdout
    assert "1.0000 (0.8620 to 1.0000)" in done.stdout
    assert "24 answerable questions are few, 100 or more tell better" in done.stderr
    assert "nothing was set: min_confidence of coast is the server's default" in done.stdout
    assert kept(coast) is None
    html = page.read_text()
    (drawing,) = [f"<svg{part}" for part in html.split("<svg")[1:]]
    ElementTree.fromstring(drawing[: drawing.index("</svg>") + 6])  # noqa: S314  our own
    assert "1.0000 (0.8620 to 1.0000)" in html
    assert "nothing was set" in html
    assert not [part for part in ("<script", "src=", 'href="http', "@import") if part in html]


def test_people_are_told_what_was_set(coast: str, lists: list[str]) -> None:
    prefer(coast, 0.9)
    done = quarry("coast", *lists, "--url", coast)
    assert done.exit_code == 0, done.output
    assert f"min_confidence of coast is {kept(coast):g} now; it was 0.9" in done.stdout


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ("--answered=0", ": the greatest balanced accuracy\n"),
        ("--abstained=0.8", ": the greatest balanced accuracy of those that leave 0.8 of the others open\n"),
    ],
)
def test_the_rule_is_told(share: str, said: str, coast: str, lists: list[str]) -> None:
    done = quarry("coast", *lists, "--url", coast, "--dry-run", share)
    assert done.exit_code == 0, done.output
    assert said in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if "auroc" in line] == ["auroc"]


def test_the_kinds_of_questions_are_told_apart(coast: str, lists: list[str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    marked = [{"_id": star, "text": f"How old is {star}?", "answerable": True} for star in STARS]
    (other / "queries.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in marked))
    report = calibrated("coast", *lists, "--foreign", other, "--url", coast, "--dry-run")
    assert report["questions"] == {"answerable": 24, "unanswerable": 22, "foreign": 22}
    assert report["on_all"]["abstained_foreign"]["n"] == 22
    assert report["auroc"]["auroc"]["n"] == 68
    assert report["auroc"]["auroc_foreign"]["n"] == 46
    told = quarry("coast", *lists, "--foreign", other, "--url", coast, "--dry-run").stdout
    assert [name in told for name in ("auroc_unanswerable", "auroc_foreign")] == [True, True]


def test_without_others_a_share_must_be_named(coast: str, lists: list[str]) -> None:
    refused = quarry("coast", *lists[:2], "--url", coast)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "only --answered can say how" in refused.stderr
    report = calibrated("coast", *lists[:2], "--answered", "0.9", "--url", coast)
    assert kept(coast) == report["threshold"]
    assert 0.9 <= report["on_all"]["answered"]["value"] < 1
    assert report["auroc"]["auroc"]["value"] is None
    assert "nobody knows how many of them are" in report["remarks"][-1]


def test_what_the_confidence_does_not_tell_apart_sets_nothing(coast: str, lists: list[str], tmp_path: Path) -> None:
    same = [f"When does leave the harbour the ferry of {place}?" for place in PLACES]  # the same words
    (tmp_path / "same.txt").write_text("\n".join(same))
    done = quarry("coast", *lists[:2], "--unanswerable", tmp_path / "same.txt", "--url", coast, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["set"] is False
    assert "nothing was set: the confidence does not tell these questions apart, AUROC 0." in done.stderr
    assert kept(coast) is None


def test_a_question_that_is_refused_sets_nothing(coast: str, lists: list[str], tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text(f"Which ferry?\n{TOO_LONG}\n")
    done = quarry("coast", *lists, "--answerable", tmp_path / "long.txt", "--url", coast)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "1 of 48 questions were refused: " in done.stderr
    assert f"{tmp_path / 'long.txt'}:2: the server says 4" in done.stderr
    assert kept(coast) is None


def test_too_few_questions_are_refused_before_any_is_asked(lists: list[str], tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("Which ferry?\nWhich inn?\n")
    done = quarry("coast", *lists[:2], "--unanswerable", tmp_path / "few.txt", "--url", NO_SERVER)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "2 questions that should be left open are too few to choose by: give 20 at least" in done.stderr


def test_a_collection_that_is_not_there_or_empty(coast: str, lists: list[str]) -> None:
    done = quarry("hills", *lists, "--url", coast)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "quarry: 404: " in done.stderr
    assert httpx.get(f"{coast}/v1/collections/hills", trust_env=False).status_code == 404  # none was made
    httpx.put(f"{coast}/v1/collections/hills", json={}, trust_env=False)
    done = quarry("hills", *lists, "--url", coast)
    assert done.exit_code == 1
    assert "'hills' has no documents, so no question can be answered from it" in done.stderr


def test_the_key_must_be_one_that_may_set_it(listening: Callable[..., str], lists: list[str], tmp_path: Path) -> None:
    keys = Keys(tmp_path / "served")
    acme: dict[str, Any] = {"type": "eq", "key": "tenant", "value": "acme"}
    reading, writing = made(keys, "query"), made(keys, "query", "ingest")
    filtered = made(keys, "query", "ingest", filter_=acme)
    url = listening(access={"admin_key": ADMIN})
    put_coast(url, ADMIN)
    refused = {
        "no key at all": "quarry: 401: ",
        reading: "quarry: 403: ",
        filtered: "this key has a filter and the threshold is of the whole collection",
    }
    for key, said in refused.items():
        done = quarry("coast", *lists, "--url", url, "--key", key)
        assert (done.exit_code, done.stdout) == (1, ""), key
        assert said in done.stderr
        assert "coast: questions" not in done.stderr  # none was asked
        assert kept(url, ADMIN) is None
    for key in (reading, filtered):
        assert calibrated("coast", *lists, "--url", url, "--key", key, "--dry-run")["set"] is False
    assert "the part of the collection" in calibrated("coast", *lists, "--url", url, "--key", filtered, "--dry-run")[
        "remarks"][-1]  # fmt: skip
    threshold = calibrated("coast", *lists, "--url", url, "--key", writing)["threshold"]
    assert kept(url, ADMIN) == threshold


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--answered", "0.9", "--abstained", "0.9"], "--answered and --abstained may contradict each other"),
        (["--answered", "2"], "--answered 2 is no share"),
        (["--foreign", "none.txt"], "none.txt: No such file"),
        (["--html", "none/page.html"], "--html none/page.html: no such folder"),
        ([], f"{NO_SERVER} cannot be reached: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], said: str, lists: list[str]) -> None:
    done = quarry("coast", *lists, "--url", NO_SERVER, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("quarry: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_page_takes_libraries_and_figures_do_not(
    coast: str, lists: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = quarry("coast", *lists, "--url", coast, "--html", tmp_path / "page.html")
    assert done.exit_code == 1
    assert "matplotlib is not installed; pip install '.[eval]' brings it" in done.stderr
    assert kept(coast) is None
    assert calibrated("coast", *lists, "--url", coast)["set"] is True
