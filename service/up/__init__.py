"""`quarry up`: the parent of `quarry serve` and of the vLLM beside it. Free of torch, FAISS and FastAPI."""
