"""Recorded states of GPUs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.telemetry.gpu import RecordedGpus

_RECORDINGS = Path(__file__).parent / "fixtures"


@pytest.fixture
def recorded() -> Callable[[str], RecordedGpus]:
    """(name) -> the states of that recording. Process 4242 is taken for this one."""
    return lambda name: RecordedGpus.from_json((_RECORDINGS / f"{name}.json").read_bytes())
