"""quarry eval from end to end, before a server in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.main import app

KEYS = {
    "when", "versions", "processor", "cores", "server", "seed", "resamples", "confidence", "top_k", "concurrency",
    "llm", "foreign", "collections", "compared", "targets", "failures", "met",
}  # fmt: skip
SHARES = ("ndcg@10", "recall@10", "recall@100", "hit@1", "mrr@10")
NO_SERVER = "http://127.0.0.1:9"


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", *(str(argument) for argument in arguments)], env={"COLUMNS": "200"})


def measured(*arguments: str | Path, exit_code: int = 0) -> dict[str, Any]:
    done = quarry(*arguments, "--json", "--resamples", "100")
    assert done.exit_code == exit_code, done.output
    (line,) = done.stdout.splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


def test_everything_is_measured(listening: Callable[..., str], village: Path) -> None:
    report = measured(village, "--url", listening())
    assert report.keys() == KEYS
    assert report["server"]["embedders"][0]["name"]
    (collection,) = report["collections"]
    assert (collection["name"], collection["queries"]) == ("village", 3)
    assert collection["documents"] == {"outcomes": {"created": 3, "skipped": 1}, "empty": 1, "others": 0}
    assert collection["questions"] == {"answerable": 3, "unanswerable": 1, "foreign": 0}
    assert collection["settings"]["chunking"]["size"] > 0
    assert collection["index"] == {"compared": False, "reason": "only a server of one's own is restarted for it"}
    (way,) = collection["ways"]
    metrics = way["metrics"]
    assert {name: metrics[name]["value"] for name in SHARES} == dict.fromkeys(SHARES, 1.0)
    assert metrics["gold_in_answer"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 3}
    assert metrics["citations_valid"]["value"] == 1.0
    assert metrics["auroc"]["value"] == 1.0
    assert metrics["auroc_foreign"]["value"] is None
    assert 0 < way["latency_ms"]["search"]["p50"] <= way["latency_ms"]["search"]["p95"]
    assert way["latency_ms"]["query"]["p50"] > 0
    assert way["per_query"]["ndcg@10"] == {"q1": 1.0, "q2": 1.0, "q3": 1.0}
    assert way["curve"][0]["answered"] == 1.0
    assert (way["share_by_lists"], way["failures"], way["degraded"], report["failures"]) == (0.0, [], {}, 0)


def test_foreign_questions_should_be_left_open(
    listening: Callable[..., str], village: Path, write_dataset: Callable[..., Path]
) -> None:
    foreign = write_dataset("city", queries='{"_id": "q1", "text": "Which tram crosses Main Square?"}\n')
    (collection,) = measured(village, "--url", listening(), "--foreign", foreign, "--foreign", village)["collections"]
    assert collection["questions"] == {"answerable": 3, "unanswerable": 1, "foreign": 1}  # its own are not foreign
    (way,) = collection["ways"]
    assert way["per_query"]["abstained_foreign"] == {"city/q1": 1.0}
    assert way["metrics"]["auroc_foreign"]["value"] == 1.0


def test_a_run_is_compared_with_an_earlier_one(listening: Callable[..., str], village: Path, tmp_path: Path) -> None:
    url, before = listening(), tmp_path / "before.json"
    before.write_text(json.dumps(measured(village, "--url", url)))
    compared = measured(village, "--url", url, "--compare", before)["compared"]
    assert [(each["collection"], each["way"]) for each in compared] == [("village", "default")]
    assert {each["name"]: each["value"] for each in compared[0]["differences"]}["ndcg@10"] == 0.0


def test_a_target_makes_the_exit_code(listening: Callable[..., str], village: Path) -> None:
    url = listening()
    assert measured(village, "--url", url, "--target", "ndcg@10=0.9")["met"] is True
    report = measured(village, "--url", url, "--target", "village.abstained=2", exit_code=1)
    assert [(each["name"], each["met"]) for each in report["targets"]] == [("village.default.abstained", False)]


def test_ways_are_held_to_each_other(listening: Callable[..., str], village: Path) -> None:
    ways = ("--way", "default", "--way", "dense", "--way", "rrf")
    margins = ("--not-below", "dense", "--beats", "village.rrf")
    report = measured(village, "--url", listening(), *ways, *margins, exit_code=1)
    told = [(each["name"].rpartition(", ")[0], each["value"], each["met"]) for each in report["targets"]]
    assert told == [
        ("village.default.ndcg@10 less rrf", 0.0, False),  # each finds all
        ("village.default.ndcg@10 less dense", 0.0, True),
    ]
    default, _, rrf = report["collections"][0]["ways"]
    assert default["metrics"]["gold_in_best"]["value"] == 1.0
    assert rrf["metrics"]["gold_in_best"]["value"] is None  # nobody answers by it
    assert rrf["metrics"]["ndcg@10"]["value"] == 1.0


def test_searches_alone(listening: Callable[..., str], village: Path) -> None:
    (collection,) = measured(village, "--url", listening(), "--no-answers")["collections"]
    (way,) = collection["ways"]
    assert way["latency_ms"]["query"] is None
    assert way["metrics"]["gold_in_answer"]["value"] is None
    assert way["metrics"]["ndcg@10"]["value"] == 1.0


def test_people_get_tables_and_a_page_that_loads_nothing(
    listening: Callable[..., str], village: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    done = quarry(village, "--url", listening(), "--html", page, "--target", "hit@1=1", "--resamples", "100")
    assert done.exit_code == 0, done.output
    assert "village: 3 created, 1 skipped; 3 queries" in done.stdout
    assert "1.0000 (1.0000 to 1.0000)" in done.stdout
    assert "at least 1" in done.stdout
    assert "1 empty documents were skipped" in done.stderr
    html = page.read_text()
    drawings = [f"<svg{part}" for part in html.split("<svg")[1:]]
    assert len(drawings) == 3
    ids: list[str] = []
    for drawing in drawings:
        root = ElementTree.fromstring(drawing[: drawing.index("</svg>") + 6])  # noqa: S314  our own
        ids += [each.attrib["id"] for each in root.iter() if "clip" in each.tag.lower() and "id" in each.attrib]
    assert len(ids) == len(set(ids)) > 0
    assert "ndcg@10" in drawings[0]
    assert "<script" not in html
    assert not [part for part in ("src=", 'href="http', "@import", "url(http") if part in html]


def test_a_page_that_cannot_be_written_costs_no_figure(
    listening: Callable[..., str], village: Path, tmp_path: Path
) -> None:
    page = tmp_path / f"{'long' * 100}.html"
    done = quarry(village, "--url", listening(), "--no-answers", "--json", "--resamples", "100", "--html", page)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["met"] is True
    assert "File name too long" in done.stderr


def test_what_the_page_shows_is_escaped(
    listening: Callable[..., str], write_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    page, refused = tmp_path / "report.html", {"_id": "<script>", "text": "mill " * 3000}
    folder = write_dataset(queries=json.dumps(refused), judgments="<script>\tmill\t1\n")
    assert quarry(folder, "--url", listening(), "--no-answers", "--html", page).exit_code == 1
    assert "&lt;script&gt; failed: " in page.read_text()
    assert "<script>" not in page.read_text()


def test_a_collection_with_other_documents_is_refused(listening: Callable[..., str], village: Path) -> None:
    url = listening()
    httpx.put(f"{url}/v1/collections/village/documents/other", json={"text": "The inn is full."}, trust_env=False)
    refused = quarry(village, "--url", url)
    assert refused.exit_code == 1
    assert "'village' holds 1 documents that" in refused.stderr
    held = httpx.get(f"{url}/v1/collections/village/documents", trust_env=False).json()["data"]
    assert [each["id"] for each in held] == ["other"]  # nothing was written
    (collection,) = measured(village, "--url", url, "--keep")["collections"]
    assert collection["documents"]["others"] == 1
    (again,) = measured(village, "--url", url, "--collection", "fresh")["collections"]
    assert (again["name"], again["documents"]["others"]) == ("fresh", 0)


def test_a_document_that_is_refused_ends_it(listening: Callable[..., str], write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(corpus='{"_id": "d", "text": "Words."}\n{"_id": "..", "text": "Words."}\n')
    done = quarry(folder, "--url", listening())
    assert done.exit_code == 1
    assert "1 documents failed" in done.stderr
    assert "corpus.jsonl:2" in done.stderr


def test_a_question_that_is_refused_is_told(listening: Callable[..., str], write_dataset: Callable[..., Path]) -> None:
    queries = '{"_id": "q1", "text": "When do the honey bees of the meadow sleep?"}\n'
    folder = write_dataset(queries=queries + json.dumps({"_id": "q2", "text": "mill " * 3000}))
    report = measured(folder, "--url", listening(), exit_code=1)
    (way,) = report["collections"][0]["ways"]
    assert report["failures"] == 2  # the search and the question
    assert {each["query"] for each in way["failures"]} == {"q2"}
    assert way["per_query"]["hit@1"] == {"q1": 1.0, "q2": 0.0}


def test_what_the_server_does_not_know_is_said_before_anything_is_sent(
    listening: Callable[..., str], village: Path
) -> None:
    url = listening()
    done = quarry(village, "--url", url, "--llm", "nobody")
    assert done.exit_code == 1
    assert "--way default --llm nobody: the server says 4" in done.stderr
    assert httpx.get(f"{url}/v1/collections/village", trust_env=False).json()["documents"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--way", "sparse"], "--way 'sparse' is not one of default"),
        (["--target", "ndcg@10"], "--target ndcg@10: must be NAME=VALUE"),
        (["--beats", "dense"], "--beats dense: is not [COLLECTION.]WAY with a way beside the first"),
        (["--compare", "none.json"], "none.json: No such file"),
        (["--foreign", "none"], "none/queries.jsonl: No such file"),
        (["--html", "none/page.html"], "--html none/page.html: no such folder"),
        (["--config", "quarry.toml"], "--config is of the server that is started"),
        (["--collection", "a b"], "the server says 400"),
    ],
)
def test_what_is_wrong_with_the_command_line(
    arguments: list[str], said: str, listening: Callable[..., str], village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(village)
    url = listening() if "--collection" in arguments else NO_SERVER
    done = quarry(village, "--url", url, *arguments)
    names_what_there_is_not = {"--way", "--target", "--beats"} & set(arguments)
    assert (done.exit_code, done.stdout) == (2 if names_what_there_is_not else 1, "")
    assert said in done.stderr


def test_folders_that_would_be_one_collection(village: Path, write_dataset: Callable[..., Path]) -> None:
    other = write_dataset("city")
    assert "two folders would be one collection" in quarry(village, village, "--url", NO_SERVER).stderr
    done = quarry(village, other, "--collection", "one", "--url", NO_SERVER)
    assert done.exit_code == 2
    assert "--collection names one collection of 2 folders" in done.stderr


def test_a_server_that_is_not_there(village: Path) -> None:
    done = quarry(village, "--url", NO_SERVER)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the server cannot be reached: " in done.stderr


def test_without_its_libraries_it_says_how_to_get_them(village: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytrec_eval", None)
    done = quarry(village, "--url", NO_SERVER)
    assert done.exit_code == 1
    assert "pytrec_eval is not installed; pip install '.[eval]' brings it" in done.stderr
