"""Search through a real collection beside FAISS alone and beside an exact scan, all in one run."""
