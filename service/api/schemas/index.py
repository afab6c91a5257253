"""The wire types of the index and its upkeep."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field

from indexes.curve import CurvePoint, RecallCurve
from indexes.lexical_state import LexicalState
from indexes.recall import RecallEstimate
from indexes.state import CollectionState, SavedState
from indexes.verification import Verification
from indexes.work import Work
from service.api.schemas.base import FILTERS, StrictBody, described, examples
from service.ingest.purger import Purged

MAX_PURGED_IDS = 10_000


class IndexReply(BaseModel):
    """How a collection is searched, and how well."""

    seal_rows: int = Field(description="Rows that are searched exactly before they are sealed.")
    segments: list[Mapping[str, Any]] = Field(description="The sealed rows, if there are some, and the tail.")
    dead_rows: int = Field(description="Rows of deleted chunks that the index still holds.")
    bytes: int = Field(description="Memory of vectors and index.")
    sentences: int = Field(description="Sentences that have vectors in the store, to be quoted.")
    sentence_bytes: int = Field(description="Of the disk that these take.")
    recall: RecallEstimate = Field(description="Of live searches, measured on a sample, with a 95 % interval.")
    snapshot: SavedState | None = Field(description="What the next start takes up; None while nothing is sealed.")
    working_on: Work | None = Field(description="What is being built or verified, and how many rows of it are read.")
    lexical: LexicalState | None = Field(description="The index of words: whether it is searched, and how large it is.")
    trouble: list[str] = Field(description="What is due and cannot be done, and what was found damaged.")

    @classmethod
    def of(cls, state: CollectionState) -> Self:
        """The wire form."""
        return cls.model_validate(state, from_attributes=True)


class PointReply(BaseModel):
    """A setting of a search, and the recall at ten that was measured with it."""

    nprobe: int
    refine: int
    recall: float
    cost: float = Field(description="In bytes of an exact scan that takes as long.")

    @classmethod
    def of(cls, point: CurvePoint) -> Self:
        """The wire form."""
        return cls.model_validate(point, from_attributes=True)


class CalibrateReply(BaseModel):
    """A recall curve, and what was chosen."""

    model_config = examples(
        {
            "target_recall": 0.99,
            "meets_target": True,
            "chosen": {"nprobe": 24, "refine": 8, "recall": 0.992, "cost": 913_000.0},
            "queries": 256,
            "points": [{"nprobe": 24, "refine": 8, "recall": 0.992, "cost": 913_000.0}],
        }
    )

    target_recall: float
    meets_target: bool
    chosen: PointReply
    queries: int = Field(description="Rows that it was measured with.")
    points: list[PointReply] = Field(description="The settings that no other beats, the cheapest first.")

    @classmethod
    def of(cls, curve: RecallCurve) -> Self:
        """The wire form."""
        return cls(
            target_recall=curve.target,
            meets_target=curve.meets_target,
            chosen=PointReply.of(curve.chosen),
            queries=curve.queries,
            points=[PointReply.of(point) for point in curve.frontier],
        )


class VerifyReply(BaseModel):
    """What was compared, and what is wrong: nothing where ``problems`` is empty."""

    model_config = examples({"index_version": 42, "rows": 50_311, "vectors": 50_311, "problems": []})

    index_version: int
    rows: int = Field(description="Of the store, that the index should hold.")
    vectors: int = Field(description="Compared component by component.")
    problems: list[str]

    @classmethod
    def of(cls, verification: Verification) -> Self:
        """The wire form."""
        return cls(
            index_version=verification.version,
            rows=verification.rows,
            vectors=verification.vectors,
            problems=list(verification.problems),
        )


class NothingBody(StrictBody):
    """A request that has nothing to say."""

    model_config = examples({})


class PurgeBody(StrictBody):
    """Which documents to delete before everything that is deleted is removed; none is allowed."""

    model_config = examples({"ids": ["memo-1"]}, {"filters": {"type": "eq", "key": "tenant", "value": "acme"}})

    ids: list[str] = Field([], max_length=MAX_PURGED_IDS, description="Documents; absent ones are no error.")
    filters: dict[str, Any] | None = Field(None, description=FILTERS, json_schema_extra=described("Filter"))


class ProofReply(BaseModel):
    """What the files were searched for, and what was found."""

    files: int = Field(description="Read from end to end.")
    bytes: int
    needles: int = Field(description="Samples of text and vectors that were looked for.")
    shared: int = Field(description="Of these, what a document that stays contains too, or the log of operations.")
    found: int = Field(description="Places of all others; a purge that leaves any is an error.")


class PurgeReply(BaseModel):
    """What was deleted, and the proof that it is gone."""

    model_config = examples(
        {
            "deleted": 1,
            "index_version": 43,
            "proof": {"files": 7, "bytes": 2_071_483, "needles": 54, "shared": 1, "found": 0},
        }
    )

    deleted: int
    index_version: int
    proof: ProofReply

    @classmethod
    def of(cls, purged: Purged) -> Self:
        """The wire form."""
        proof = purged.proof
        return cls(
            deleted=purged.deleted,
            index_version=purged.version,
            proof=ProofReply(
                files=proof.files,
                bytes=proof.bytes,
                needles=proof.needles,
                shared=proof.shared,
                found=len(proof.found),
            ),
        )
