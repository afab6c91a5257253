"""Purger: deletes documents so that no file of their collection, nor of its mirror, holds them any more."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from indexes.erasure import Proof
from indexes.errors import ErasureError, StoreUnavailableError
from indexes.filters import Filter
from indexes.names import check_document_id
from indexes.reembeddings import Route
from service.ingest.mirror import Mirror, MovedError
from service.ingest.place import Place

# Commits that wait for the same fsync.
_CONCURRENT_DELETES = 8


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did.

    Attributes:
        deleted: documents that were there.
        version: of the collection without them.
        proof: over the files of the collection, and of its mirror where it has one.
    """

    deleted: int
    version: int
    proof: Proof


class JobPurge(Protocol):
    """The jobs of one data directory, for a purge; on a thread that may wait."""

    def refuse_batches(self, name: str) -> None:
        """Raise where the raw input of an open job may hold documents of which nobody knows yet.

        Raises:
            CollectionConflictError: naming the jobs.
        """

    def withdraw(self, name: str, doomed: Sequence[str], place: Place) -> None:
        """End the open jobs of documents that are deleted, and forget the ended ones.

        Args:
            place: of the purge: what was accepted after it stays.
        """

    def erase(self, needles: Sequence[bytes]) -> Proof:
        """Remove from the files of jobs what was deleted, and look for ``needles`` in them.

        Raises:
            ErasureError, StoreUnavailableError: as ``Collection.purge``.
        """


class Purger:
    """Works on the calling thread, for as long as it takes to write the collection anew.

    Documents that pass a filter are deleted one by one, by their ids: a delete by filter leaves the filter in the log,
    and with it the very words that are to go.
    """

    def __init__(self, mirror: Mirror, jobs: JobPurge) -> None:
        self._mirror = mirror
        self._jobs = jobs

    def purge(self, name: str, ids: Sequence[str] = (), filter: Filter | None = None) -> Purged:
        """Delete these documents and those that pass; then remove all that was ever deleted, and prove it.

        What is written meanwhile stays. A purge that failed or was cut short is made again: what it has deleted stays
        deleted, and is removed then, but can no longer be looked for.

        Raises:
            InvalidNameError: one of the ids is none.
            CollectionNotFoundError: there is none of that name.
            CollectionConflictError: batches are open as jobs, of which nobody knows yet what they hold.
            ErasureError: something could not be removed, or was found after that.
            InsufficientMemoryError, SnapshotError, StoreUnavailableError: as ``Collection.purge``.
        """
        for document_id in ids:
            check_document_id(document_id)
        route = self._openable(name)
        self._jobs.refuse_batches(route.name)
        place = self._mirror.accept(route.name)  # before the look at what passes: whatever is written after it stays
        passing = route.primary.ids_matching(filter) if filter else []
        doomed = list(dict.fromkeys([*ids, *passing]))
        needles = [needle for collection in route.collections for needle in collection.needles(doomed)]
        with ThreadPoolExecutor(_CONCURRENT_DELETES, "quarry-purge") as threads:
            deleted = sum(threads.map(partial(self._delete, name, place=place), doomed))
        route = self._openable(name)
        needles = list(dict.fromkeys(needles))
        self._jobs.withdraw(route.name, doomed, place)
        proofs = [*(collection.purge(needles) for collection in route.collections), self._erased(needles)]
        return Purged(deleted, route.primary.version, _together(proofs))

    def _erased(self, needles: Sequence[bytes]) -> Proof:
        proof = self._jobs.erase(needles)
        if proof.found:
            first = proof.found[0]
            raise ErasureError(
                f"{len(proof.found)} samples of what was purged are still in the files of jobs, as in {first.file} at "
                f"byte {first.offset}"
            )
        return proof

    def _openable(self, name: str) -> Route:
        route = self._mirror.route(name)
        if route.reembedding and not route.mirror:
            raise StoreUnavailableError(
                f"the mirror of {route.name!r} could not be opened, so nothing can be removed from it: "
                f"{route.reembedding.damage}"
            )
        return route

    def _delete(self, name: str, document_id: str, place: Place) -> bool:
        """Whether there was such a document; the mirror has it no longer either, or an error says so."""
        is_deleted = False
        while True:
            route = self._mirror.route(name)
            with suppress(MovedError):
                is_deleted |= self._mirror.delete(route, document_id, place).outcome == "deleted"
                if route.mirror:
                    self._mirror.clear(route, document_id)
                return is_deleted


def _together(proofs: Sequence[Proof]) -> Proof:
    first, *others = proofs
    for proof in others:
        first = replace(
            first,
            files=first.files + proof.files,
            bytes=first.bytes + proof.bytes,
            needles=max(first.needles, proof.needles),
            found=first.found + proof.found,
            shared=max(first.shared, proof.shared),
        )
    return first
