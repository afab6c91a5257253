"""The base of every group of settings."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Immutable; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
