"""Unique members: JSON in which no object has one name twice, of which parsers silently take the last."""

import json


def repeated_member(data: bytes) -> str | None:
    """The first name that an object in ``data`` has twice; None also of what is no JSON."""
    try:
        json.loads(data, object_pairs_hook=_unique)
    except _RepeatedMember as found:
        return str(found)
    except (ValueError, RecursionError):
        return None
    return None


class _RepeatedMember(Exception):
    """The name."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    held: dict[str, object] = {}
    for name, value in pairs:
        if name in held:
            raise _RepeatedMember(name)
        held[name] = value
    return held
