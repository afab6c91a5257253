"""Settings of what is too much: the largest inputs, how many questions, and how full memory may become."""

from typing import Self

from pydantic import Field, model_validator

from service.settings_group import Group


class LimitSettings(Group):
    """The largest inputs that are accepted, how many questions, and the marks of memory.

    Attributes:
        questions: that may be under way at once, as far as the end of their searches.
        wait_ms: longest expected wait of a question behind others, by the pace of late, or half of what its deadline
            leaves; beyond it: 503 with ``Retry-After``, before its body is read where it can be. Who has less under
            way than the other callers is taken on all the same.
        write_wait_ms: longest expected wait of a JSON document or a batch behind others; beyond it: 503 with
            ``Retry-After``. Jobs wait as long as they must.
        query_characters: of a question or a search, and of the last message of a conversation.
        conversation_messages: of one conversation.
        conversation_characters: of all of them together.
        document_characters: of a document's text, whatever its file.
        batch_documents: lines of one batch; ``quarry ingest`` sends 64.
        embedding_inputs: texts of one ``/v1/embeddings`` request.
        rerank_documents: documents of one ``/v1/rerank`` request.
        collections: that there may be when one more is created; beyond it: 409. None takes as many as fit into half of
            the files that the process may open, 16 each, and into three quarters of what it may map
            (``vm.max_map_count``), 24 each, at most 10,000. More that are there already are served.
        memory_low: share of a device's memory from which bulk work waits; 1 turns the mark off.
        memory_high: share from which fewer queries may wait, too; 1 turns the mark off.
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
