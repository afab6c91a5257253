"""The audit log: who did or tried what that takes more than questions, and who was refused; never any content.

It is the logger ``quarry.audit``. Ids of documents are chosen by clients and may say something, so they are left out,
and so is the name of a collection that is refused and that there is not.
"""

import ipaddress
import logging
from http import HTTPStatus

from fastapi import Request
from starlette.types import Scope

from indexes.errors import InvalidNameError
from indexes.names import check_collection_name
from service.access.caller import Caller
from service.api.access import Needs
from service.library import Library

NONE = "none"
_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_OF_A_QUESTION = "query"

_log = logging.getLogger("quarry.audit")


def about_key(request: Request, key_id: str) -> None:
    """Let the line of a request say which key it made or revoked."""
    request.state.about_key = key_id


def key_of(scope: Scope) -> tuple[str, str]:
    """Id and name of the key that a request showed; ``none`` where it was none that holds."""
    caller: Caller | None = scope["state"].get("caller")
    return (caller.key.id, caller.key.name) if caller and caller.key else (NONE, NONE)


def record(scope: Scope, status: int) -> None:
    """Write the line of a request that has ended, if it deserves one.

    Args:
        status: of the reply; 0 where there was none.
    """
    route = scope.get("route")
    if status not in _REFUSALS and not _takes_more_than_questions(route):
        return
    key_id, key_name = key_of(scope)
    state = scope["state"]
    said = {
        "request_id": state["request_id"],
        "key": key_id,
        "key_name": key_name,
        "address": _address(scope),
        "action": getattr(route, "name", NONE),
        "method": scope["method"],
        "collection": _collection(scope, status),
        "status": status,
    }
    _log.info("audit", extra=said | ({"about_key": state["about_key"]} if "about_key" in state else {}))


def _takes_more_than_questions(route: object) -> bool:
    needed = [dependency.dependency for dependency in getattr(route, "dependencies", ())]
    return any(isinstance(one, Needs) and _OF_A_QUESTION not in one.scopes for one in needed)


def _address(scope: Scope) -> str:
    """A proxy may have put anything in its place."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return NONE


def _collection(scope: Scope, status: int) -> str:
    """What was done to one may be that it is there no more."""
    name = scope["state"].get("collection") or scope.get("path_params", {}).get("collection", "")
    try:
        check_collection_name(name)
    except InvalidNameError:
        return NONE
    is_done = HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST
    return str(name) if is_done or _exists(scope, name) else NONE


def _exists(scope: Scope, name: str) -> bool:
    library: Library = scope["app"].state.services.library
    return name in library
