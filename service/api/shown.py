"""A value that was refused, as far as a reply shows it."""

from collections.abc import Iterator


def shown(value: object, limit: int) -> str:
    """The beginning of ``repr(value)``, made without the rest: that may be millions of values.

    Args:
        limit: characters; what is cut off is three dots.
    """
    said = ""
    for piece in _pieces(value, limit):
        said += piece
        if len(said) > limit:
            return f"{said[:limit]}..."
    return said


def _pieces(value: object, limit: int) -> Iterator[str]:
    match value:
        case str() | bytes():
            yield repr(value if len(value) <= limit else value[: limit + 1])
        case list():
            yield "["
            for i, item in enumerate(value):
                yield ", " * bool(i)
                yield from _pieces(item, limit)
            yield "]"
        case dict():
            yield "{"
            for i, (key, item) in enumerate(value.items()):
                yield ", " * bool(i)
                yield from _pieces(key, limit)
                yield ": "
                yield from _pieces(item, limit)
            yield "}"
        case _:
            yield repr(value)
