"""``quarry up``: the parent of ``quarry serve`` and of the model servers beside it. Free of torch."""
