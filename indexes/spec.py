"""What makes a collection itself."""

from dataclasses import asdict, dataclass

from indexes.base import Metric
from indexes.languages import UNICODE

DEFAULT_METRIC: Metric = "cosine"
DEFAULT_TARGET_RECALL = 0.99
DEFAULT_LANGUAGE = UNICODE


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Vectors made otherwise cannot be compared with those in the collection.

    Attributes:
        embedding_model: served name of the embedder.
        fingerprint: of its weights and tokenizer.
        dimension: length of its vectors.
        chunk_size: longest chunk, in the embedder's tokens.
        chunk_overlap: tokens that neighbouring chunks share at most.
        metric: cosine and ip rank by inner product, the first of vectors made unit vectors; l2 by distance.
        target_recall: share of the exact ten nearest that a search should find, 0..1.
        language: that the words of its texts are read by, one of ``LANGUAGES``.
    """

    embedding_model: str
    fingerprint: str
    dimension: int
    chunk_size: int
    chunk_overlap: int
    metric: Metric = DEFAULT_METRIC
    target_recall: float = DEFAULT_TARGET_RECALL
    language: str = DEFAULT_LANGUAGE

    def differences(self, other: "CollectionSpec") -> dict[str, tuple[object, object]]:
        """Field -> (mine, other's) where the two differ."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}
