import base64
import json

import numpy as np
import pytest

from loadtests.peers.reply import Vectors, WrongReplyError, lowest_cosine, read_reply

_DIMENSION = 4


def _unit(rows: int, seed: int = 3) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(rows, _DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _body(vectors: Vectors, encoding: str = "base64") -> bytes:
    def encoded(row: np.ndarray) -> object:
        return base64.b64encode(row.tobytes()).decode() if encoding == "base64" else row.tolist()

    return json.dumps({"data": [{"index": i, "embedding": encoded(row)} for i, row in enumerate(vectors)]}).encode()


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_both_encodings_give_the_vectors_back(encoding: str) -> None:
    vectors = _unit(3)
    assert np.array_equal(read_reply(_body(vectors, encoding), 3, _DIMENSION), vectors)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_body(_unit(2)), r"3 texts were sent, the reply has the indices \[0, 1\]"),
        (_body(_unit(3)[:, :2]), "vectors of 2 numbers instead of 4"),
        (_body(_unit(3) * 1.01), "off one by 0.0100"),
        (_body(_unit(3) * np.float32(np.nan)), "off one by nan"),
        (b"gone", "not an embeddings response"),
        (b'{"data": [{"index": 0}]}', "not an embeddings response"),
        (b'{"data": [{"index": 0, "embedding": "%%"}]}', "not an embeddings response"),
    ],
)
def test_a_wrong_reply_says_in_what(body: bytes, message: str) -> None:
    with pytest.raises(WrongReplyError, match=message):
        read_reply(body, 3, _DIMENSION)


def test_servers_are_compared_over_the_texts_that_both_embedded() -> None:
    vectors = _unit(5)
    assert lowest_cosine(vectors, vectors[:3]) == pytest.approx(1, abs=1e-6)


def test_servers_that_disagree_about_one_text_are_found() -> None:
    theirs = _unit(5)
    theirs[4] = -theirs[4]
    with pytest.raises(WrongReplyError, match=r"cosine -1\.0000"):
        lowest_cosine(_unit(5), theirs)


def test_nothing_in_common_is_no_agreement() -> None:
    with pytest.raises(WrongReplyError, match="no text"):
        lowest_cosine(_unit(5), _unit(5)[:0])
