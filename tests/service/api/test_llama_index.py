"""LlamaIndex's classes, unmodified, in the environment that holds them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

TEXT = "The honey bees of the northern meadow sleep in winter. In spring the bees wake up and visit the clover."
PATIENCE_S = 100.0


def test_llama_index_chats_completes_streams_and_embeds(listening: Callable[..., str], llama_index: str) -> None:
    address = listening()
    with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as http:
        assert http.put("/v1/collections/docs/documents/bees", json={"text": TEXT}).status_code == 201
        asked = {"query": "When do the honey bees sleep?", "collection": "docs"}
        answer = http.post("/v1/query", json=asked).json()["answer"]
        embedded = http.post("/v1/embeddings", json={"model": "hashing", "input": asked["query"]}).json()["data"]
    command = [llama_index, str(Path(__file__).with_name("llama_index_client.py")), address, "hashing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    ways = ("chat", "complete", "stream_chat", "stream_complete", "achat", "astream_chat")
    assert answer
    assert {way: told[way] for way in ways} == dict.fromkeys(ways, answer)
    assert len(told["texts"]) == 2
    for vector in (told["query"], told["texts"][0]):
        np.testing.assert_array_almost_equal(vector, embedded[0]["embedding"], decimal=6)
