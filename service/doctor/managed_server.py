"""What ``quarry up`` needs to start a model server: its command, and a folder of weights."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.doctor.check import Finding, failure, ok
from service.llm_settings import ManagedSettings

VERSION_S = 60.0
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


def look_at_managed(name: str, settings: ManagedSettings) -> Iterator[Finding]:
    """The command and its version, then the folder."""
    yield _command(f"llm {name} command", name, settings)
    yield _weights(f"llm {name} weights", name, settings.weights)


def _command(title: str, name: str, settings: ManagedSettings) -> Finding:
    advice = f"install vLLM in an environment of its own, and set llm.{name}.managed.command to its vllm"
    command = shutil.which(settings.command)
    if command is None:
        return failure(title, f"{str(settings.command)!r} is no executable on the path", advice)
    try:
        done = subprocess.run(  # noqa: S603  the operator's own command
            [command, "--version"], capture_output=True, text=True, timeout=VERSION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return failure(title, f"{command} --version: {type(error).__name__}: {error}", advice)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return failure(title, f"{command} --version ended with {done.returncode}: {said}", advice)
    return ok(title, f"{command}, version {(done.stdout.strip().splitlines() or ['unknown'])[-1]}")


def _weights(title: str, name: str, folder: Path) -> Finding:
    wanted = {
        "config.json": (folder / "config.json").is_file(),
        "a tokenizer": any((folder / each).is_file() for each in _TOKENIZERS),
        "weights (*.safetensors)": any(folder.glob("*.safetensors")),
    }
    missing = [what for what, is_there in wanted.items() if not is_there]
    if missing:
        advice = f"set llm.{name}.managed.weights to a folder with {'it' if len(missing) == 1 else 'them'}"
        return failure(title, f"{folder} lacks {_listed(missing)}", advice)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return ok(title, f"{folder}: {size / 2**30:.1f} GiB of safetensors")


def _listed(things: Sequence[str]) -> str:
    *others, last = things
    return f"{', '.join(others)} and {last}" if others else last
