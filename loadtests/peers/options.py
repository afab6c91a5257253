"""The command line."""

from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadtests.peers.launches import CHECKOUT
from loadtests.peers.scenarios import SCENARIOS

_Number = TypeVar("_Number", int, float)
_DESCRIPTION = "Compare Quarry's embeddings with infinity's, over HTTP. Exits 1 where a target is missed, 2 on failure."


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; see ``--help``."""

    scenario: list[str] | None
    rounds: int
    seconds: float
    ramp: float
    encoding: str
    texts: Path | None
    seed: int
    peer_env: Path
    peer_dtype: str
    peer_port: int
    quarry_port: int
    torch_index: str | None
    json: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line, this process's own by default; exits with 2 where it is wrong."""
    parser = ArgumentParser("loadtests.peers", description=_DESCRIPTION, formatter_class=ArgumentDefaultsHelpFormatter)
    _add_load(parser)
    _add_servers(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return Options(**vars(parser.parse_args(arguments)))


def _add_load(parser: ArgumentParser) -> None:
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--rounds", type=_number(int, 1), default=5, help="blocks on each server, in alternation")
    parser.add_argument("--seconds", type=_number(float, 0.5), default=8.0, help="how long the clock runs in a block")
    parser.add_argument("--ramp", type=_number(float, 0), default=2.0, help="seconds of load before that")
    parser.add_argument("--encoding", choices=("base64", "float"), default="base64", help="of the vectors in replies")
    parser.add_argument("--texts", type=Path, help="JSONL of {text} to take words from, instead of synthetic ones")
    parser.add_argument("--seed", type=_number(int, 0), default=1, help="of the texts")


def _add_servers(parser: ArgumentParser) -> None:
    folder = CHECKOUT / ".venv-peers"
    parser.add_argument("--peer-env", type=Path, default=folder, help="infinity's virtual environment, made if missing")
    parser.add_argument("--peer-dtype", choices=("bfloat16", "float32"), default="bfloat16", help="infinity's weights")
    parser.add_argument("--peer-port", type=_number(int, 0), default=0, help="0 takes a free one")
    parser.add_argument("--quarry-port", type=_number(int, 0), default=0, help="0 takes a free one")
    parser.add_argument("--torch-index", help="package index for infinity's torch, e.g. one with CPU-only builds")


def _number(kind: Callable[[str], _Number], least: _Number) -> Callable[[str], _Number]:
    def read(value: str) -> _Number:
        try:
            number = kind(value)
        except ValueError:
            raise ArgumentTypeError(f"{value!r} is not a number") from None
        if not least <= number < float("inf"):
            raise ArgumentTypeError(f"{value} is not at least {least}")
        return number

    return read
