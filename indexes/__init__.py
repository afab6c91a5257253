"""Vectors in, hits out: the room that owns the store and every index derived from it. Synchronous, without HTTP."""
