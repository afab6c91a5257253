"""Settings of the indexes of vectors."""

from pydantic import Field

from service.milvus_settings import MilvusSettings
from service.settings_group import Group


class IndexSettings(Group):
    """When rows become IVF-PQ, and how they are searched.

    Attributes:
        seal_rows: rows searched exactly before they are sealed as IVF-PQ; None measures where both take equally long,
            never below 8192.
        nprobe: inverted lists visited; None takes what the recall curve of the index chose. A number overrides the
            measured one everywhere, and such searches are not in the live recall.
        refine: candidates rescored for each hit wanted; None and a number as for ``nprobe``.
        target_recall: share of the exact ten nearest that a search should find, for collections that name none.
        shadow_share: of the searches that are made again exactly in the background, to know the recall that users
            get; 0: none.
        device: where sealed rows are searched: ``cpu``, ``cuda:0``, or ``auto`` for the first GPU that FAISS sees;
            ``/v1/status`` says what came of it, and why.
        device_bytes: memory that indexes may take on a GPU; None lets each take half of what is free.
        milvus: where new collections are searched instead.
    """

    seal_rows: int | None = Field(None, ge=256)
    nprobe: int | None = Field(None, ge=1)
    refine: int | None = Field(None, ge=1, le=1000)
    target_recall: float = Field(0.99, ge=0.5, le=0.9999, allow_inf_nan=False)
    shadow_share: float = Field(0.01, ge=0, le=1, allow_inf_nan=False)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda:\d+)$")
    device_bytes: int | None = Field(None, ge=1)
    milvus: MilvusSettings = MilvusSettings()
