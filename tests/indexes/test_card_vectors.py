"""Exact vectors in tensors, on the CPU: the same code as on a card, compared with NumPy."""

import numpy as np
import pytest
import torch

from indexes.base import Metric, Vectors
from indexes.card_vectors import CardVectors, HostVectors, refined
from indexes.exact import exact_scores
from indexes.self_test import check_scan

ROWS, DIMENSION = 700, 16
METRICS: list[Metric] = ["cosine", "ip", "l2"]


def rows(seed: int, count: int = ROWS) -> Vectors:
    print(f"seed {seed}")  # noqa: T201
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def held(vectors: Vectors, metric: Metric) -> CardVectors:
    card = CardVectors(1000, DIMENSION, metric, "cpu", "float32")
    assert card.follow(vectors)
    return card


@pytest.mark.parametrize("metric", METRICS)
def test_a_scan_finds_what_numpy_finds(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexes.card_vectors._SCORES", 5 * 64)  # eleven blocks
    vectors, queries, mask = rows(1), 2 * rows(2, 5), np.random.default_rng(3).random(600) < 0.5
    expected = exact_scores(vectors, None, queries, metric)[:, 100:]
    expected[:, ~mask] = -np.inf
    scores, positions = held(vectors, metric).nearest(torch.tensor(queries), 100, ROWS, 20, mask)
    order = np.argsort(-expected, axis=1)[:, :20]
    np.testing.assert_array_equal(positions.numpy(), order + 100)
    np.testing.assert_allclose(scores.numpy(), np.take_along_axis(expected, order, axis=1), atol=1e-4)


def test_what_the_mask_leaves_is_padded() -> None:
    mask = np.zeros(ROWS, dtype=bool)
    mask[[5, 9]] = True
    scores, positions = held(rows(1), "cosine").nearest(torch.tensor(rows(2, 1)), 0, ROWS, 4, mask)
    assert set(positions[0].tolist()) == {5, 9, -1}
    assert positions[0, 2:].tolist() == [-1, -1]
    assert scores[0, 2:].isneginf().all()


def test_new_rows_are_followed_until_there_is_no_room() -> None:
    card = held(rows(1, 300), "l2")
    assert card.follow(np.concatenate((rows(1, 300), rows(4, 400))))
    assert card.size == 700
    asked = torch.tensor(rows(4, 400)[399:])
    assert card.nearest(asked, 0, 700, 1)[1].tolist() == [[699]]
    assert not card.follow(np.zeros((1001, DIMENSION), dtype=np.float32))
    assert card.bytes == 1000 * (4 * DIMENSION + 4)


@pytest.mark.parametrize("metric", METRICS)
def test_candidates_are_rescored_wherever_their_vectors_lie(metric: Metric) -> None:
    vectors, queries = rows(1), 2 * rows(2, 3)
    positions = np.random.default_rng(5).integers(0, ROWS, (3, 30))
    positions[1, 4] = -1
    expected = np.take_along_axis(exact_scores(vectors, None, queries, metric), np.maximum(positions, 0), axis=1)
    expected[1, 4] = -np.inf
    for home in (held(vectors, metric), HostVectors(lambda: vectors, metric, "cpu")):
        asked, at = torch.tensor(queries), torch.tensor(positions)
        np.testing.assert_allclose(home.scores_at(asked, at).numpy(), expected, atol=1e-4)
        best, found = refined(asked, at, home, 5)
        np.testing.assert_allclose(best.numpy(), -np.sort(-expected, axis=1)[:, :5], atol=1e-4)
        np.testing.assert_array_equal(np.isneginf(best.numpy()), found.numpy() == -1)


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_the_self_test_of_scans_passes_and_notices(precision: str) -> None:
    def scan(vectors: Vectors, queries: Vectors, metric: Metric, top_k: int) -> tuple[Vectors, np.ndarray]:
        card = CardVectors(len(vectors), vectors.shape[1], metric, "cpu", precision)  # type: ignore[arg-type]
        card.follow(vectors)
        scores, positions = card.nearest(torch.tensor(queries), 0, len(vectors), top_k)
        return scores.numpy(), positions.numpy()

    check_scan(scan, 2e-2)
    with pytest.raises(Exception, match="cosine: the positions of a scan are off by"):
        check_scan(lambda *asked: (scan(*asked)[0], scan(*asked)[1][:, ::-1]), 2e-2)
