"""IVF-PQ beside an exact search, and a server of one's own."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import product
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.cli.eval.dataset import Dataset
from service.cli.eval.evaluation import evaluate
from service.cli.eval.options import Options
from service.cli.main import app

PLACES = [f"{what} {where}" for what, where in product(
    ("mill", "ferry", "inn", "bakery", "smithy", "orchard", "chapel", "school", "well", "bridge", "barn", "forge",
     "tannery", "brewery", "stable", "market", "dairy", "harbour"),
    ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper", "Kelp", "Larch", "Maple",
     "Nettle", "Oak", "Poplar", "Quince"),
)]  # fmt: skip


class Restarted:
    """A server of one's own whose process is this one."""

    is_own = True

    def __init__(self, open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> None:
        self._open_api = open_api
        self.opened_with: list[dict[str, str]] = []

    @contextmanager
    def opened(self, variables: Mapping[str, str]) -> Iterator[httpx.Client]:
        self.opened_with.append(dict(variables))
        (rows,) = variables.values() or (None,)
        with self._open_api(index={"shadow_share": 0.0, "seal_rows": rows and int(rows)}) as http:
            yield http


@contextmanager
def unwatched(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    yield lambda: None


@pytest.fixture
def county(write_dataset: Callable[..., Path]) -> Path:
    """As many documents as an index needs, each asked for by its own name."""
    corpus = [{"_id": place, "text": f"The {place} has {len(place)} windows and one door."} for place in PLACES]
    queries = [{"_id": place, "text": f"How many windows has the {place}?"} for place in PLACES[::15]]
    return write_dataset(
        "county",
        "".join(json.dumps(each) + "\n" for each in corpus),
        "".join(json.dumps(each) + "\n" for each in queries),
        "".join(f"{place}\t{place}\t1\n" for place in PLACES),
    )


def test_both_are_searched_and_compared(
    open_api: Callable[..., AbstractContextManager[httpx.Client]], county: Path, options: Callable[..., Options]
) -> None:
    serving = Restarted(open_api)
    asked = options(llm=None, top_k=20)
    (result,) = evaluate(serving, {"county": Dataset.read(county)}, asked, unwatched, compare_index=True).collections
    assert result.settings["chunks"] == len(PLACES) > 256
    assert [list(each.values()) for each in serving.opened_with] == [[], ["1000000000"], ["256"]]
    assert result.index is not None
    overlap, deep = result.index.metrics
    assert (overlap.name, deep.name, overlap.n) == ("overlap@10", "overlap@20", len(PLACES[::15]))
    assert overlap.value is not None
    assert 0.5 < overlap.value <= 1.0
    assert result.index.share_by_lists["overlap@10"] is not None
    assert result.ways[0].share_by_lists == 0.0
    assert {each.name for each in result.index.differences} == {"ndcg@10", "recall@10", "hit@1", "mrr@10"}


def test_a_small_collection_is_left_as_it_is(
    open_api: Callable[..., AbstractContextManager[httpx.Client]], village: Path, options: Callable[..., Options]
) -> None:
    serving = Restarted(open_api)
    found = evaluate(serving, {"village": Dataset.read(village)}, options(), unwatched, compare_index=True)
    assert found.collections[0].index_reason == "3 chunks are fewer than the 256 it takes"
    assert len(serving.opened_with) == 1


@pytest.mark.slow
def test_a_server_is_started_and_ended(village: Path, tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_EMBEDDING__MODEL", str(tiny_embedder))
    done = CliRunner().invoke(app, ["eval", str(village), "--json", "--resamples", "100"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["server"]["embedders"][0]["name"] == "tiny-embedder"
    assert report["collections"][0]["documents"]["outcomes"] == {"created": 3, "skipped": 1}


def test_a_server_that_does_not_start_is_said(village: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(village), "--config", str(tmp_path / "none.toml")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "none.toml: no such file" in done.stderr
