"""Bodies: JSON is parsed and validated where it keeps nobody waiting."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from service.density import SHORT_BYTES, refuse_dense
from service.errors import OverloadedError

T = TypeVar("T")

# They share one interpreter with the event loop.
_AT_ONCE = 2
_MOST_WAITING = 64
_MOST_WAIT_S = 30.0
_RETRY_AFTER_S = 1.0
# Of each a Python object is made, before a few are told.
_MOST_ERRORS = 1000


class Bodies:
    """Reads what is short at once, and what is long on threads, of which there are few."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def read(self, raw: bytes, reading: Callable[[bytes], T]) -> T:
        """What ``reading`` makes of a body, which it must refuse where that would take long; see ``refuse_dense``.

        Raises:
            OverloadedError: too many bodies wait to be read, or this one has for too long.
        """
        if len(raw) <= SHORT_BYTES:
            return reading(raw)
        if self._waiting >= _MOST_WAITING:
            said = f"{self._waiting} long bodies wait to be read; the limit is {_MOST_WAITING}"
            raise OverloadedError(said, _RETRY_AFTER_S)
        self._waiting += 1
        try:
            await self._turn()
            try:
                return await asyncio.to_thread(reading, raw)
            finally:
                self._turns.release()
        finally:
            self._waiting -= 1

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(_MOST_WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            said = f"a long body was not read within {_MOST_WAIT_S:g} s, as {self._waiting} wait"
            raise OverloadedError(said, _RETRY_AFTER_S) from None


def validated(raw: bytes, adapter: TypeAdapter[Any]) -> Any:  # noqa: ANN401  whatever the adapter makes
    """A body of JSON as the route's signature has it; thread-safe.

    Raises:
        InvalidRequestError: see ``refuse_dense``.
        RequestValidationError: it is no JSON, or breaks the schema.
        HTTPException: 400; no parser takes it.
    """
    refuse_dense(raw)
    try:
        return adapter.validate_python(_parsed(raw))
    except ValidationError as error:
        raise RequestValidationError(told(error)) from None


def told(error: ValidationError) -> list[dict[str, Any]]:
    """What is wrong with a body; of errors by the thousand only their number."""
    count = error.error_count()
    if count > _MOST_ERRORS:
        return [{"type": "too_many_errors", "loc": ("body",), "msg": f"breaks its schema in {count} places"}]
    return [{**each, "loc": ("body", *each["loc"]) if each["loc"] else ()} for each in error.errors(include_url=False)]


def missing() -> RequestValidationError:
    """The error for no body where there has to be one."""
    return RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8-sig"))  # of bytes it would read UTF-16 too, which nobody counted
    except json.JSONDecodeError as error:
        said = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([{**said, "ctx": {"error": error.msg}}]) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, an integer of thousands of digits, a depth of thousands
        raise HTTPException(400) from error
