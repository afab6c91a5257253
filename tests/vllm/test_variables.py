"""vLLM knows the variables that the image and the units give it: it would ignore another."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
GIVEN_BY = [ROOT / "Dockerfile.cuda", ROOT / "deploy" / "systemd" / "quarry.service"]
SAY = "import vllm.envs; print(*vllm.envs.environment_variables)"


def test_it_knows_them(vllm_command: Path) -> None:
    given = {name for path in GIVEN_BY for name in re.findall(r"\b(VLLM_[A-Z_]+)=", path.read_text())}
    assert len(given) >= 3
    known = subprocess.check_output([vllm_command.with_name("python"), "-c", SAY], text=True, timeout=500)
    assert given - set(known.split()) == set()
