"""What is read from a folder, and what is said of one that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.eval.dataset import Dataset, Query, Unknown, sampled, sources
from service.cli.eval.record import DatasetError

DOCUMENT = '{"_id": "d", "title": "", "text": "Words."}\n'
QUERY = '{"_id": "q", "text": "Which?"}\n'


def test_documents_queries_and_judgments(village: Path) -> None:
    dataset = Dataset.read(village)
    assert dataset.document_ids == {"bees", "mill", "ferry", "blank"}
    assert dataset.queries[1] == Query("q2", "When was the water mill by the river built?", ("in 1702",), True)
    assert dataset.judgments == {"q1": {"bees": 2, "mill": 0}, "q2": {"mill": 1}, "q3": {"ferry": 1}}
    assert dataset.unknown == Unknown(0, 0, 0)


def test_a_header_is_no_judgment_and_the_folder_of_beir_is_known(write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(judgments=None)
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\r\nq1\tbees\t-1\r\n\nq1\tmill\t2\n")
    assert Dataset.read(folder).judgments == {"q1": {"bees": -1, "mill": 2}}


def test_what_does_not_exist_is_counted(write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(judgments="q1\tbees\t1\nq1\tgone\t1\nq9\tgone\t1\nq9\tlost\t0\n")
    assert Dataset.read(folder).unknown == Unknown(queries=1, documents=2, unjudged_queries=2)


def test_a_title_may_be_missing_and_other_fields_are_passed_over(write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(corpus='{"_id": "d", "text": "Words.", "metadata": {"year": 1}}\n\n')
    (source,) = sources(folder)
    assert (source.id, source.title, source.text, source.number) == ("d", "", "Words.", 1)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"corpus": None}, "corpus.jsonl: No such file"),
        ({"corpus": ""}, "corpus.jsonl: has no documents"),
        ({"corpus": DOCUMENT + "{"}, "corpus.jsonl:2: is not JSON"),
        ({"corpus": DOCUMENT + "[1]"}, "corpus.jsonl:2: must be an object, not [1]"),
        ({"corpus": '{"text": "Words."}'}, "corpus.jsonl:1: _id is missing"),
        ({"corpus": '{"_id": " ", "text": "Words."}'}, "corpus.jsonl:1: _id is empty"),
        ({"corpus": '{"_id": 7, "text": "Words."}'}, "corpus.jsonl:1: _id must be a text, not 7"),
        ({"corpus": '{"_id": "d"}'}, "corpus.jsonl:1: text is missing"),
        ({"corpus": '{"_id": "d", "text": ["a"]}'}, 'corpus.jsonl:1: text must be a text, not ["a"]'),
        ({"corpus": '{"_id": "d", "text": "a", "title": 1}'}, "corpus.jsonl:1: title must be a text, not 1"),
        ({"corpus": DOCUMENT + DOCUMENT}, "corpus.jsonl:2: _id 'd' is on line 1 too"),
        ({"corpus": '{"_id": "\udcff", "text": "a"}'}, "corpus.jsonl:1: is not JSON"),
        ({"queries": None}, "queries.jsonl: No such file"),
        ({"queries": "\n"}, "queries.jsonl: has no queries"),
        ({"queries": QUERY + QUERY}, "queries.jsonl:2: _id 'q' is there twice"),
        ({"queries": '{"_id": "q", "text": ""}'}, "queries.jsonl:1: text is empty"),
        ({"queries": '{"_id": "q", "text": "a", "answers": "b"}'}, 'answers must be a list of texts, not "b"'),
        ({"queries": '{"_id": "q", "text": "a", "answers": [1]}'}, "answers must be a list of texts, not [1]"),
        ({"queries": '{"_id": "q", "text": "a", "answerable": "no"}'}, 'answerable must be true or false, not "no"'),
        ({"judgments": None}, "has neither qrels.tsv nor qrels/test.tsv"),
        ({"judgments": "q1\tbees\n"}, "qrels.tsv:1: has 2 columns"),
        ({"judgments": "q1\tbees\t1\nq1\tmill\tgood\n"}, "qrels.tsv:2: score must be a whole number, not 'good'"),
        ({"judgments": "q1\t\t1\n"}, "qrels.tsv:1: corpus-id is empty"),
        ({"judgments": "q1\tbees\t1\nq1\tbees\t2\n"}, "qrels.tsv:2: score 2 of 'q1' and 'bees' was 1 before"),
        ({"judgments": "q1\tb\udcffs\t1\n"}, "qrels.tsv:1: is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_field(
    files: dict[str, str | None], said: str, write_dataset: Callable[..., Path]
) -> None:
    folder = write_dataset(**files)
    with pytest.raises(DatasetError) as raised:
        Dataset.read(folder)
    assert str(raised.value).startswith(str(folder))
    assert said in str(raised.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none: no such folder"):
        Dataset.read(tmp_path / "none")


def test_a_sample_is_drawn_by_the_seed_and_keeps_the_order() -> None:
    queries = tuple(Query(str(number), "Which?") for number in range(50))
    drawn = sampled(queries, 10, seed=3)
    assert drawn == sampled(queries, 10, seed=3) != sampled(queries, 10, seed=4)
    assert len(set(drawn)) == 10
    assert list(drawn) == sorted(drawn, key=lambda query: int(query.id))
    assert sampled(queries, 50, seed=3) is sampled(queries, None, seed=3) is queries
