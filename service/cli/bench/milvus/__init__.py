"""A search of a collection on Milvus beside the bare call of its client, in one run."""
