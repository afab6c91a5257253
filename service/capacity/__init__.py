"""How much memory every tenant of a card takes: arithmetic over sizes, before anything is loaded. Free of torch."""
