"""What was acknowledged before a kill -9 is there after it."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexes.base import SearchParams
from indexes.collection import Collection

PIECES = 3

# Prints each id once its write is acknowledged, until it is killed.
WRITER = """
import sys, threading
from pathlib import Path
import numpy as np
from indexes.base import Chunk, Document
from indexes.catalog import Catalog
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

spec = CollectionSpec("test-model", "test-fingerprint", 16, chunk_size=100, chunk_overlap=0)
collection, _ = Catalog(Path(sys.argv[1]), IndexPolicy(256)).ensure("docs", spec)
saying = threading.Lock()

def write(thread):
    rng = np.random.default_rng(thread)
    for i in range(1_000_000):
        document = Document(f"{thread}-{i}", "", "xyz", {}, None, "text", b"hash")
        chunks = [Chunk(document.id, n, "xyz"[n], n, n + 1) for n in range(3)]
        collection.put(document, chunks, rng.normal(size=(3, 16)).astype(np.float32), collection.accept())
        with saying:
            print(document.id, flush=True)
        collection.upkeep.step()

for thread in range(4):
    threading.Thread(target=write, args=(thread,)).start()
"""


def acknowledged_before_a_kill(data_dir: Path, writes: int) -> set[str]:
    command = [sys.executable, "-c", WRITER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ids = [process.stdout.readline() for _ in range(writes)]
        process.kill()
        ids += process.stdout.readlines()
    return {line.strip() for line in ids if line.endswith("\n")}


@pytest.mark.parametrize("writes", [1, 150, 400])
def test_every_acknowledged_document_survives_a_kill(
    tmp_path: Path, open_collection: Callable[[], Collection], writes: int
) -> None:
    acknowledged = acknowledged_before_a_kill(tmp_path / "data", writes)
    assert len(acknowledged) >= writes
    collection = open_collection()
    stored = {row[0] for row in collection.documents("", 10**6)}
    assert acknowledged <= stored
    query = np.ones(16, dtype=np.float32)
    hits = collection.search(query, SearchParams(top_k=10**5))
    found = Counter(hit.chunk.document_id for hit in hits)
    assert found == dict.fromkeys(stored, PIECES), "a document is there with all of its chunks, once, or not at all"
