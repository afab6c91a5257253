"""What an index proposes, by every metric, as it is trained and as it grows."""

import threading
from collections.abc import Iterator

import faiss
import numpy as np
import pytest

from indexes import ivf_pq as module
from indexes.base import Metric, Vectors
from indexes.exact import exact_scores
from indexes.ivf_pq import IndexFacts, IvfPqIndex, IvfPqParams
from indexes.ivf_pq_params import code_bytes

ROWS, DIMENSION, NLIST = 1200, 16, 20


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small trainings wait for their threads more than they compute."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def rows(seed: int, count: int = ROWS) -> Vectors:
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)


@pytest.fixture(scope="module", params=["cosine", "ip", "l2", "rotated"])
def index(request: pytest.FixtureRequest) -> IvfPqIndex:
    metric: Metric = "l2" if request.param == "rotated" else request.param
    return IvfPqIndex.train(rows(1), metric, IvfPqParams(NLIST, 4, 5, rotated=request.param == "rotated"))


def test_all_lists_and_candidates_are_all_rows_best_first(index: IvfPqIndex) -> None:
    scores, positions = index.candidates(rows(2, 5), ROWS, NLIST)
    np.testing.assert_array_equal(np.sort(positions, axis=1), np.broadcast_to(np.arange(ROWS), (5, ROWS)))
    assert (np.diff(scores, axis=1) <= 0).all()


def test_the_scores_are_near_the_metric_s(index: IvfPqIndex) -> None:
    queries = rows(3, 5)
    scores, positions = index.candidates(queries, ROWS, NLIST)
    exact = np.take_along_axis(exact_scores(rows(1), None, queries, index.metric), positions, axis=1)
    for row, expected in zip(scores, exact, strict=True):
        assert np.corrcoef(row, expected)[0, 1] > 0.8
    assert np.abs(scores.mean() - exact.mean()) < 0.25 * exact.std()


def test_what_the_lists_lack_is_padded(index: IvfPqIndex) -> None:
    scores, positions = index.candidates(rows(4, 3), ROWS, 1)
    assert (positions == -1).any(axis=1).all()
    np.testing.assert_array_equal(np.isneginf(scores), positions == -1)


@pytest.mark.parametrize(("count", "columns"), [(0, 1), (7, 7), (ROWS + 9, ROWS)])
def test_the_count_is_clamped(index: IvfPqIndex, count: int, columns: int) -> None:
    scores, positions = index.candidates(rows(4, 3), count, NLIST)
    assert scores.shape == positions.shape == (3, columns)


@pytest.mark.parametrize(("nprobe", "as_good_as"), [(0, 1), (10**6, NLIST)])
def test_nprobe_is_clamped(index: IvfPqIndex, nprobe: int, as_good_as: int) -> None:
    found, expected = (index.candidates(rows(4, 3), 50, lists)[1] for lists in (nprobe, as_good_as))
    np.testing.assert_array_equal(found, expected)


def test_rows_added_get_the_next_positions_and_the_old_index_stays(index: IvfPqIndex) -> None:
    added, queries = rows(5, 300), rows(6, 4)
    before = index.candidates(queries, ROWS, NLIST)
    longer = index.extended(added)
    assert (index.size, longer.size, longer.trained_rows) == (ROWS, ROWS + 300, ROWS)
    np.testing.assert_array_equal(index.candidates(queries, ROWS + 300, NLIST), before)
    scores, positions = longer.candidates(queries, ROWS + 300, NLIST)
    assert (np.sort(positions, axis=1) == np.arange(ROWS + 300)).all()
    for query in range(4):  # the old rows score as before, wherever the new ones rank among them
        old = positions[query] < ROWS
        np.testing.assert_array_equal(np.sort(scores[query, old]), np.sort(before[0][query]))


def test_each_added_row_is_found_at_its_position(index: IvfPqIndex) -> None:
    added = 3 * rows(7, 100)
    _, positions = index.extended(added).candidates(added, 1, NLIST)
    assert (positions[:, 0] == ROWS + np.arange(100)).mean() > 0.7


def test_no_rows_added_change_nothing(index: IvfPqIndex) -> None:
    same = index.extended(rows(1, 0))
    assert same.facts == index.facts
    np.testing.assert_array_equal(same.candidates(rows(2, 3), 9, 5), index.candidates(rows(2, 3), 9, 5))


def test_searches_go_on_while_the_index_is_extended(index: IvfPqIndex) -> None:
    queries, added = rows(8, 3), rows(9, 4000)
    expected = index.candidates(queries, 40, 5)
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            if not np.array_equal(index.candidates(queries, 40, 5), expected):
                wrong.append(True)

    searcher = threading.Thread(target=search)
    searcher.start()
    for _ in range(3):
        index.extended(added)
    stop.set()
    searcher.join()
    assert not wrong


def test_an_index_grows_from_bytes_as_it_would_have_grown(index: IvfPqIndex) -> None:
    again = IvfPqIndex.from_bytes(index.to_bytes(), index.facts)
    queries, added = rows(2, 3), rows(5, 300)
    found, expected = again.extended(added), index.extended(added)
    assert found.facts == expected.facts
    np.testing.assert_array_equal(found.candidates(queries, 99, 5), expected.candidates(queries, 99, 5))


def test_bytes_per_vector_are_those_written(index: IvfPqIndex) -> None:
    longer = index.extended(rows(5, 300)).extended(rows(6, 7))
    shared = 4 * DIMENSION * (NLIST + 256 + (DIMENSION if index.params.rotated else 0))
    assert longer.bytes_per_vector == pytest.approx(4 + 8 + shared / (ROWS + 307))
    # Nothing but codes, ids and what is shared is written, beside a header.
    assert len(longer.to_bytes()) == pytest.approx(longer.bytes_per_vector * longer.size, abs=1500)


def test_imbalance_is_that_of_the_list_lengths() -> None:
    index = IvfPqIndex.train(rows(1), "l2", IvfPqParams(NLIST, 4, 5))
    centroids, _ = index.quantizers()
    lengths = np.bincount(exact_scores(centroids, None, rows(1), "l2").argmax(axis=1), minlength=NLIST)
    assert index.imbalance == pytest.approx(NLIST * np.square(lengths).sum() / ROWS**2)
    assert index.facts.trained_imbalance == index.imbalance
    one_list = index.extended(np.repeat(rows(1)[:1], 3000, axis=0))
    assert one_list.imbalance > 5 > one_list.facts.trained_imbalance


def test_the_residual_of_rows_like_those_trained_on_is_as_at_training(index: IvfPqIndex) -> None:
    assert index.residual_of(rows(10)) == pytest.approx(index.residual, rel=0.1)


def test_the_residual_of_other_rows_is_higher(index: IvfPqIndex) -> None:
    assert index.residual_of(rows(10) + 2) > 1.1 * index.residual


def test_the_residual_is_the_relative_squared_error_of_the_codes() -> None:
    index = IvfPqIndex.train(rows(1), "l2", IvfPqParams(1, 1, 1))
    centroids, codebooks = index.quantizers()
    asked = rows(10, 900)
    decoded = centroids + codebooks[0]
    nearest = exact_scores(np.ascontiguousarray(decoded), None, asked, "l2").max(axis=1)
    assert index.residual_of(asked) == pytest.approx(-nearest.sum() / np.square(asked).sum(), rel=1e-4)
    assert index.residual_of(np.zeros((3, DIMENSION), dtype=np.float32)) == 0


def test_the_residual_of_many_rows_is_that_of_a_thousand_from_all_over(
    index: IvfPqIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Vectors] = []
    residual = module._residual

    def noted(index: faiss.Index, vectors: Vectors) -> float:
        decoded.append(vectors)
        return residual(index, vectors)

    monkeypatch.setattr(module, "_residual", noted)
    many = rows(10, 3500)
    found = index.residual_of(many)
    (sample,) = decoded
    assert 800 <= len(sample) <= 1000
    places = np.flatnonzero((many[:, None, 0] == sample[None, :, 0]).any(axis=1))
    assert places[0] < 10
    assert places[-1] >= 3490
    assert np.diff(places).max() < 10
    assert found == pytest.approx(residual(index._index, many), rel=0.05)


def test_tuning_changes_the_defaults_alone(index: IvfPqIndex) -> None:
    tuned = index.tuned(7, 3)
    assert (tuned.params.nprobe, tuned.params.refine, tuned.params.m) == (7, 3, 4)
    assert index.params.nprobe == 5
    np.testing.assert_array_equal(tuned.candidates(rows(2, 3), 9, 5), index.candidates(rows(2, 3), 9, 5))


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_few_rows_train_without_a_word(metric: Metric, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    IvfPqIndex.train(np.eye(256, dtype=np.float32), metric)
    IvfPqIndex.train(np.eye(256, dtype=np.float32), metric, IvfPqParams(2, 32, 2, rotated=True))
    assert capfd.readouterr() == ("", "")


def test_facts_survive_json(index: IvfPqIndex) -> None:
    assert IndexFacts.from_json(index.facts.to_json()) == index.facts
    with pytest.raises(TypeError, match="unknown"):
        IndexFacts.from_json({**index.facts.to_json(), "unknown": 1})


@pytest.mark.parametrize(
    ("dimension", "m"),
    [(1, 1), (7, 1), (16, 2), (100, 10), (128, 16), (384, 48), (768, 96), (1024, 64), (1536, 96), (2048, 256), (26, 2)],
)
def test_the_code_is_an_eighth_of_the_dimension_or_near_it(dimension: int, m: int) -> None:
    assert code_bytes(dimension) == m


def test_at_200_000_rows_of_384_dimensions_a_row_takes_less_than_96_bytes() -> None:
    params = IvfPqParams.for_rows(200_000, 384)
    facts = IndexFacts(384, "cosine", 200_000, 200_000, 1.0, 0.1, params)
    assert 70 < IvfPqIndex(faiss.IndexFlatIP(384), facts).bytes_per_vector < 75


@pytest.mark.parametrize(("rows", "nlist"), [(10**6, 4000), (200_000, 1788), (24_336, 624), (10_000, 256), (256, 6)])
def test_there_are_four_roots_of_lists_while_each_has_rows_to_train_on(rows: int, nlist: int) -> None:
    assert IvfPqParams.for_rows(rows, 384).nlist == nlist
