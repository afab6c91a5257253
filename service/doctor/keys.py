"""Who may ask a server of these settings."""

import stat
from collections.abc import Iterator
from pathlib import Path

from indexes.data_directory import KEYS
from service.access.keys import Keys
from service.access.opened import configured_keys
from service.doctor.check import Finding, failure, ok, warning
from service.errors import KeylessError, KeysUnavailableError
from service.settings import Settings

_MAKE_ONE = "quarry keys create NAME --scope admin --data-dir DIR while no server runs, or set access.admin_key"


def look_at_keys(settings: Settings) -> Iterator[Finding]:
    """Are keys needed, may the server start as it is, and can others read what it knows of them?"""
    if settings.access.keys == "replicated":
        yield ok("keys", "needed for every request: those of the process that publishes them in Redis")
        return
    try:
        keys = configured_keys(settings)
    except KeysUnavailableError as error:
        yield failure("keys", str(error), "no server starts with it: nobody could tell who may ask")
    else:
        yield _needed(keys, settings)
    yield from _readers(settings.data_dir / KEYS)


def _needed(keys: Keys, settings: Settings) -> Finding:
    server = settings.server
    if not keys.are_needed:
        if server.is_private:
            return ok("keys", f"none are needed: nobody but this machine reaches {server.host}")
        return failure("keys", str(KeylessError(None if server.is_loopback else server.host, server.hosts)), _MAKE_ONE)
    configured = " and access.admin_key" if settings.access.admin_key else ""
    found = f"needed for every request: {len(keys.holding)} of {len(keys.listed())} hold{configured}"
    if not keys.are_administered:
        return warning("keys", f"{found}; none may make and revoke keys over the API", _MAKE_ONE)
    return ok("keys", found)


def _readers(path: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # there is none, or the finding above says what is the matter
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        found = f"{path} has mode {mode:o}: others than its owner may read or write it"
        yield warning(KEYS, found, f"chmod 600 {path}")
    else:
        yield ok(KEYS, f"{path} is its owner's alone")
