"""Settings of what is too much: the largest inputs, how many questions, and how full memory may become."""

from typing import Self

from pydantic import Field, model_validator

from service.settings_group import Group


class LimitSettings(Group):
    """The largest inputs that are accepted, how many questions, and the marks of memory.

    Attributes:
        questions: that may be under way at once, as far as the end of their searches.
        wait_ms: longest expected wait of a question behind others; or half of what its deadline leaves.
        write_wait_ms: longest expected wait of a document behind others, where its sender waits for it.
        collections: that there may be when one more is created; None takes as many as fit into half of the files that
            the process may open. More that are there already are served.
        memory_low: share of a device's memory from which bulk work pauses.
        memory_high: share from which fewer queries may wait, too; 1 with ``memory_low`` turns both marks off.
    """

    questions: int = Field(1000, ge=1)
    wait_ms: float = Field(2_000, gt=0, allow_inf_nan=False)
    write_wait_ms: float = Field(30_000, gt=0, allow_inf_nan=False)
    query_characters: int = Field(8192, ge=1)
    conversation_messages: int = Field(64, ge=1)
    conversation_characters: int = Field(65_536, ge=1)
    document_characters: int = Field(5_000_000, ge=1)
    batch_documents: int = Field(1000, ge=1)
    embedding_inputs: int = Field(2048, ge=1)
    rerank_documents: int = Field(1000, ge=1)
    collections: int | None = Field(None, ge=1)
    memory_low: float = Field(0.9, gt=0, le=1, allow_inf_nan=False)
    memory_high: float = Field(0.95, gt=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _marks_are_in_order(self) -> Self:
        if self.memory_low > self.memory_high:
            raise ValueError(f"memory_low {self.memory_low} must not be above memory_high {self.memory_high}")
        return self
