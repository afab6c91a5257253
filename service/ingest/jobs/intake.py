"""Intake: where an upload becomes a job, unless there is nothing to do."""

from dataclasses import dataclass

from service.ingest.ingestor import Ingestor, Written
from service.ingest.jobs.board import JobBoard, NewJob
from service.ingest.jobs.job import Ask
from service.ingest.jobs.open_job import OpenJob
from service.ingest.jobs.raw_inputs import Incoming
from service.ingest.jobs.work import source_hash


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes raw inputs on. What is not accepted leaves nothing behind."""

    ingestor: Ingestor
    board: JobBoard

    async def receive(self) -> Incoming:
        """See ``JobBoard.receive``; to be given to one of the others."""
        return await self.board.receive()

    def arrived(self, incoming: Incoming, size: int) -> None:
        """See ``JobBoard.arrived``."""
        self.board.arrived(incoming, size)

    async def put_file(self, collection: str, ask: Ask, incoming: Incoming, caller: str) -> OpenJob | Written:
        """A job that reads and stores a file; none where the document was made of this very file already.

        Raises:
            OverloadedError, StoreUnavailableError: see ``JobBoard.submit``.
            InvalidNameError, CollectionConflictError: see ``Ingestor.open``.
        """
        try:
            route = await self.ingestor.open(collection)
            place, id_ = self.ingestor.place(route), str(ask.document_id)
            written = await self.ingestor.confirm_source(route, id_, source_hash(ask, incoming.raw), place)
        except BaseException:
            await self.discard(incoming)
            raise
        if written is not None:
            await self.discard(incoming)
            return written
        return await self.board.submit(NewJob("file", caller, ask), place, incoming)

    async def submit(self, collection: str, new: NewJob, incoming: Incoming) -> OpenJob:
        """A job of any kind.

        Raises:
            OverloadedError, StoreUnavailableError, InvalidNameError, CollectionConflictError: as ``put_file``.
        """
        try:
            place = self.ingestor.place(await self.ingestor.open(collection))
        except BaseException:
            await self.discard(incoming)
            raise
        return await self.board.submit(new, place, incoming)

    async def discard(self, incoming: Incoming) -> None:
        """Remove what was received."""
        await self.board.discard(incoming)
