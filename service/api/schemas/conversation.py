"""Conversations: the messages a question comes with."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from service.api.schemas.base import StrictBody


def _spoken(role: object) -> object:
    if role in ("system", "developer"):  # no set: a role may be anything, also what has no hash
        raise ValueError(f"{role} messages are not taken: the instructions to the language model are the server's own")
    return role


class MessageBody(StrictBody):
    """A message of a conversation."""

    role: Annotated[Literal["user", "assistant"], BeforeValidator(_spoken)]
    content: str = Field(min_length=1)
