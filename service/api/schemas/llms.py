"""Servers of language models, as an operator takes them out of use and back."""

from typing import Annotated, Self

from pydantic import BaseModel, Field

from service.api.schemas.base import WHOLE, StrictBody, examples
from service.generation.pooled_server import PooledServer

_MAX_URL = 2048
_MOST_WAIT_MS = 600_000
_URL = "http://10.0.0.7:8000"


class ServerBody(StrictBody):
    """A server of a language model."""

    model_config = examples({"server": _URL})

    server: str = Field(max_length=_MAX_URL, description="Its URL, as `/v1/status` has it.")


class DrainBody(ServerBody):
    """A server that is to be given nothing new."""

    model_config = examples({"server": _URL}, {"server": _URL, "wait_ms": 60_000})

    wait_ms: Annotated[int, Field(ge=0, le=_MOST_WAIT_MS), WHOLE] = Field(
        0, description="How long the reply may wait for the end of what the server writes."
    )


class ServerReply(BaseModel):
    """A server of a language model, and what it still has to do."""

    model_config = examples(
        {"llm": "main", "server": _URL, "drained": True, "streams": 0, "outstanding_tokens": 0, "state": "ready"}
    )

    llm: str
    server: str
    drained: bool = Field(description="It is given nothing new.")
    streams: int = Field(description="Answers that it writes; 0 of a drained one: it may be stopped.")
    outstanding_tokens: int = Field(description="Of these: of prompts to be read, and of answers that may come.")
    state: str = Field(description="`ready`, or what is or was wrong with it.")

    @classmethod
    def of(cls, llm: str, server: PooledServer) -> Self:
        """As it is now."""
        return cls(
            llm=llm,
            server=server.name,
            drained=server.is_drained,
            streams=server.streams,
            outstanding_tokens=server.outstanding_tokens,
            state=server.server.health.state,
        )
