"""From uploaded bytes to chunks with vectors in a collection."""
