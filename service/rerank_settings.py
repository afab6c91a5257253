"""RerankSettings: the cross-encoder, and which hits it reorders."""

from pydantic import Field

from service.settings_group import Group

# As many as a search may want: that is how far anybody looks.
MAX_CANDIDATES = 1000


class RerankSettings(Group):
    """The cross-encoder behind /v1/rerank, which reorders the hits of searches too.

    Attributes:
        model: folder of a cross-encoder with one label; None serves none. It runs on the embedding model's device.
        searches: hits are reordered, for requests that do not say, where there is a model.
        candidates: the best hits of a search, that are reordered, for requests that do not say; at most.
    """

    model: str | None = None
    searches: bool = True
    candidates: int = Field(50, ge=1, le=MAX_CANDIDATES)

    @property
    def default_candidates(self) -> int:
        """Of requests that do not say; 0 where their hits are not reordered."""
        return self.candidates if self.model and self.searches else 0
