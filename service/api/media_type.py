"""What a request says its body is."""

from fastapi import Request

from service.errors import UnsupportedMediaTypeError

JSON = "application/json"
FORM = "multipart/form-data"


def media_type_of(request: Request) -> str:
    """The type in lower case, without parameters; empty where none is given."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def unsupported(media_type: str, *read: str) -> UnsupportedMediaTypeError:
    """The error for a body of ``media_type`` where only ``read`` are."""
    verb = "is" if len(read) == 1 else "are"
    return UnsupportedMediaTypeError(
        f"content type {media_type or '(none)'!r} is not read here; {' and '.join(read)} {verb}"
    )


def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON, before a byte of it is read; a request without a body passes.

    Raises:
        UnsupportedMediaTypeError: naming what it says.
    """
    media_type = media_type_of(request)
    if media_type != JSON and _announces_body(request):
        raise unsupported(media_type, JSON)


def _announces_body(request: Request) -> bool:
    """As HTTP/1.1 has it: by its length, or by how its end is told."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
