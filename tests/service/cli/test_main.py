"""The command tree."""

import subprocess
import sys


def test_a_command_that_only_talks_to_a_server_does_not_wait_for_torch() -> None:
    loaded = subprocess.check_output(
        [sys.executable, "-c", "import sys, service.cli.main; print(*sys.modules)"], text=True
    ).split()
    assert "service.cli.ask" in loaded
    assert not {"torch", "transformers", "faiss", "fastapi", "huggingface_hub"} & set(loaded)
