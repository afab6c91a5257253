"""A vLLM server without a model: the real one's HTTP, its queue and its errors, with delays and faults as scripted.

``python -m loadtests.fake_vllm --uds PATH`` or ``--port N`` runs it; `server.py` runs it inside a test. One contract
suite, `tests/vllm/test_contract.py`, holds it and the real server to the same behaviour.

Its time is spent waiting as a model would: `--ttft-ms` before the first token, `--itl-ms` between two.
`POST /fake/script` (`script.py` has the fields) changes that for the next requests, or for those that contain some
text, and breaks them in the ways servers break. `GET /fake/state` counts what is open, finished and aborted, and holds
the last bodies received.
"""
