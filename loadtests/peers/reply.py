"""What a reply must hold: as many vectors as texts, of the right size, of unit length, and equal between servers."""

import base64
from collections.abc import Sequence

import numpy as np
import orjson

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

# bfloat16 leaves about 1e-3 when a vector is normalised before it is widened.
_NORM_TOLERANCE = 5e-3
LEAST_COSINE = 0.99


class WrongReplyError(Exception):
    """A server answered, and the answer is wrong; the message says in what."""


def read_reply(body: bytes, texts: int, dimension: int) -> Vectors:
    """The vectors of an embeddings response, in the order of the texts.

    Args:
        body: JSON of OpenAI's shape; each embedding an array of numbers or base64 of little-endian float32.
        texts: how many were sent.
        dimension: of the model.

    Returns:
        (texts, dimension)

    Raises:
        WrongReplyError: it is not that.
    """
    try:
        data = orjson.loads(body)["data"]
        order = [item["index"] for item in data]
        rows = [_row(item["embedding"]) for item in data]
    except (ValueError, KeyError, TypeError) as error:
        raise WrongReplyError(f"not an embeddings response ({error!r}): {body[:200]!r}") from None
    if order != list(range(texts)):
        raise WrongReplyError(f"{texts} texts were sent, the reply has the indices {order}")
    if sizes := {len(row) for row in rows} - {dimension}:
        raise WrongReplyError(f"vectors of {sizes.pop()} numbers instead of {dimension}")
    vectors = np.stack(rows)
    worst = float(np.abs(np.linalg.norm(vectors, axis=1) - 1).max())
    if not worst <= _NORM_TOLERANCE:  # also true for NaN
        raise WrongReplyError(f"the length of a vector is off one by {worst:.4f}")
    return vectors


def lowest_cosine(ours: Vectors, theirs: Vectors) -> float:
    """The worst agreement between two servers over the texts that both embedded.

    Raises:
        WrongReplyError: it is below LEAST_COSINE, or there is no text to compare.
    """
    shared = min(len(ours), len(theirs))
    if not shared:
        raise WrongReplyError("no text was embedded by both servers")
    products = np.einsum("ij,ij->i", ours[:shared], theirs[:shared])
    norms = np.linalg.norm(ours[:shared], axis=1) * np.linalg.norm(theirs[:shared], axis=1)
    lowest = float((products / norms).min())
    if not lowest >= LEAST_COSINE:
        raise WrongReplyError(f"the servers disagree about a text: cosine {lowest:.4f}, at least {LEAST_COSINE} is due")
    return lowest


def _row(embedding: str | Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)
