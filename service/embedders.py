"""Embedders: those that this process serves, the default first."""

from collections.abc import Sequence

from models.base import EmbedderInfo
from service.batching import EmbeddingBatcher
from service.errors import ModelNotServedError


class Embedders:
    """Batchers by name and by fingerprint.

    Args:
        batchers: at least one; the first is the default.
    """

    def __init__(self, batchers: Sequence[EmbeddingBatcher]) -> None:
        self._by_name = {batcher.info.name: batcher for batcher in batchers}
        self._by_fingerprint = {batcher.info.fingerprint: batcher for batcher in reversed(batchers)}
        self.default = batchers[0]

    def infos(self) -> list[EmbedderInfo]:
        """What is known of each, the default first."""
        return [batcher.info for batcher in self._by_name.values()]

    def named(self, name: str) -> EmbeddingBatcher:
        """The embedder served as ``name``.

        Raises:
            ModelNotServedError: there is none.
        """
        if name not in self._by_name:
            raise ModelNotServedError(f"embedder {name!r} is not served here; there are {', '.join(self._by_name)}")
        return self._by_name[name]

    def that_made(self, fingerprint: str) -> EmbeddingBatcher:
        """The embedder whose vectors a collection holds.

        Raises:
            ModelNotServedError: it is not served; never for a collection that comes from ``Library.get``.
        """
        if fingerprint not in self._by_fingerprint:
            raise ModelNotServedError(
                f"the embedder {fingerprint[:12]} is not served here: name it in embedding.model or embedding.also"
            )
        return self._by_fingerprint[fingerprint]
