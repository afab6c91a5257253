"""The error bodies of the real server."""

from http import HTTPStatus
from typing import Self

from pydantic import ValidationError


class Refusal(Exception):
    """A reply that is not 200.

    Attributes:
        status: of the reply.
        body: of the reply, and of the error that ends a stream in the middle.
    """

    def __init__(self, status: HTTPStatus, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status.value}}

    @classmethod
    def of_value(cls, message: str, param: str, value: object) -> Self:
        """A value the server will not have."""
        said = f"{message} (parameter={param}, value={value})"
        return cls(HTTPStatus.BAD_REQUEST, "BadRequestError", said, param)

    @classmethod
    def of_body(cls, errors: ValidationError) -> Self:
        """A body that is not what the route takes."""
        said = [
            {"type": error["type"], "loc": ".".join(["body", *map(str, error["loc"])]), "msg": error["msg"]}
            for error in errors.errors(include_url=False, include_input=False, include_context=False)
        ]
        lines = "".join(f"\n  {error}" for error in said)
        message = f"{len(said)} validation error{'s' if len(said) > 1 else ''}:{lines}"
        return cls(HTTPStatus.BAD_REQUEST, "Bad Request", message, said[0]["loc"])

    @classmethod
    def unknown_model(cls, name: str, served: str) -> Self:
        """A model that is not served."""
        message = f"The model `{name}` does not exist. Valid aliases: {served}."
        return cls(HTTPStatus.NOT_FOUND, "NotFoundError", message, "model")

    @classmethod
    def too_long(cls, context: int) -> Self:
        """A prompt beyond the context. Like the real one, it counts no further than one token too many."""
        message = (
            f"This model's maximum context length is {context} tokens. However, your prompt contains at least "
            f"{context + 1} input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt."
        )
        return cls.of_value(message, "input_tokens", context + 1)

    @classmethod
    def busy(cls) -> Self:
        """The queue is full."""
        message = (
            "The engine is currently busy and cannot accept new requests. "
            "Please try again later or on a different instance."
        )
        return cls(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable", message)

    @classmethod
    def dead(cls) -> Self:
        """The engine ended."""
        message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
        return cls(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerError", message)
