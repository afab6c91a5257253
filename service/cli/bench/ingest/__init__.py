"""Measurements of how busy ingest keeps the embedder."""
