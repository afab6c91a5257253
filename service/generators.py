"""Generators: those that are configured, and which of them a question gets."""

import logging
from collections.abc import Iterable, Mapping

from service.errors import InvalidRequestError
from service.generation.base import Generator

_log = logging.getLogger("quarry.generators")


class Generators:
    """By name; ``extractive`` is one of them.

    Args:
        default: for questions that name none, to collections that have none.
    """

    def __init__(self, by_name: Mapping[str, Generator], default: str) -> None:
        self._by_name = by_name
        self._default = default
        self._missed: set[tuple[str, str]] = set()

    def __getitem__(self, name: str) -> Generator:
        return self._by_name[name]

    def chosen(self, asked: str | None, collection: str, preferred: str | None) -> str:
        """The name of the one that answers: the request's, else the collection's, else the default.

        Raises:
            InvalidRequestError: the request's is not configured. The collection's may have gone from the
                configuration, which is no fault of who asks: the default takes its place, and the log says so once.
        """
        if asked is not None:
            return checked_name(asked, self._by_name)
        if preferred is None:
            return self._default
        if preferred in self._by_name:
            return preferred
        if (collection, preferred) not in self._missed:
            self._missed.add((collection, preferred))
            _log.warning("llm %r of collection %s is not configured: %s answers", preferred, collection, self._default)
        return self._default


def checked_name(name: str, names: Iterable[str]) -> str:
    """The name of a generator that is configured.

    Raises:
        InvalidRequestError: it is not.
    """
    if name not in names:
        raise InvalidRequestError(f"llm {name!r} is not configured; there are {', '.join(sorted(names))}", param="llm")
    return name
