"""What tests of several processes share."""

import random
import secrets

import pytest


@pytest.fixture
def chance() -> random.Random:
    """Another one in each run, which says what it began with."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    return random.Random(seed)  # noqa: S311  nobody's secret
