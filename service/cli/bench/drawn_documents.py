"""Drawn documents: sentences of a corpus in another order, where a corpus has too few chunks to measure with."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import sentencex

_SEED = 7


def drawn_documents(corpus: Path, count: int) -> Iterator[bytes]:
    """``count`` JSONL lines; each has as many sentences, and the title, of a document drawn by chance.

    No two are alike, and words are as common among them as in the corpus, so a search has as much to do.

    Args:
        corpus: JSONL of {_id or id, title, text} in English.
    """
    documents = [orjson.loads(line) for line in corpus.read_bytes().splitlines() if line.strip()]
    cut = [[part for part in sentencex.segment("en", each["text"]) if part.strip()] for each in documents]
    sentences = [sentence for parts in cut for sentence in parts]
    rng = np.random.default_rng(_SEED)
    for number, pattern in enumerate(rng.integers(len(documents), size=count)):
        chosen = rng.integers(len(sentences), size=max(1, len(cut[pattern])))
        text = " ".join(sentences[place].strip() for place in chosen)
        yield (
            orjson.dumps({"_id": f"drawn-{number}", "title": documents[pattern].get("title", ""), "text": text}) + b"\n"
        )
