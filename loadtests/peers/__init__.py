"""The same embedding load on infinity and on Quarry, in alternation; see README.md."""
