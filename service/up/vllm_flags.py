"""The flags that the installed version of vLLM knows."""

import asyncio
import logging
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

_LONGEST_S = 300.0
# A line that begins with an option names it in all its spellings; other lines may speak of options that are gone.
_OPTION_LINE = re.compile(r"^ {1,4}(-.*)$", re.MULTILINE)
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")

_log = logging.getLogger("quarry.up")


async def known_flags(executable: Path, environment: Mapping[str, str], remembered: Path) -> frozenset[str] | None:
    """What ``vllm serve --help=all`` lists; None where it lists nothing.

    Args:
        remembered: a file; vLLM takes many seconds to answer, and is asked once for each installation.

    Raises:
        OSError: it cannot be run.
    """
    identity = _identity(executable)
    known = _recalled(remembered, identity)
    if known is None:
        known = await _asked(executable, environment)
    if known:
        _remember(remembered, identity, known)
        return known
    _log.warning("%s does not list its flags; it is given all of ours", executable)
    return None


def listed_flags(help_text: str) -> frozenset[str]:
    """The options of a help text."""
    return frozenset(flag for line in _OPTION_LINE.findall(help_text) for flag in _FLAG.findall(line))


def _identity(executable: Path) -> list[object]:
    return [str(executable.resolve()), executable.stat().st_mtime_ns]


def _remember(remembered: Path, identity: list[object], known: frozenset[str]) -> None:
    with suppress(OSError):  # asked again then
        remembered.write_bytes(orjson.dumps({"identity": identity, "flags": sorted(known)}))


def _recalled(remembered: Path, identity: list[object]) -> frozenset[str] | None:
    try:
        recalled = orjson.loads(remembered.read_bytes())
    except (OSError, ValueError):
        return None
    match recalled:
        case {"identity": list(known), "flags": list(flags)} if known == identity:
            return frozenset(map(str, flags))
    return None


async def _asked(executable: Path, environment: Mapping[str, str]) -> frozenset[str]:
    process = await asyncio.create_subprocess_exec(
        *(str(executable), "serve", "--help=all"),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_LONGEST_S):
            text, _ = await process.communicate()
    except TimeoutError:
        return frozenset()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return frozenset() if process.returncode else listed_flags(text.decode(errors="replace"))
