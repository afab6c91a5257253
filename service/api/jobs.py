"""Jobs: look, wait, cancel."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from indexes.errors import StoreUnavailableError
from service.api.access import needs
from service.api.caller import caller_of
from service.api.description.failing import fails_with
from service.api.hang_up import unless_hung_up
from service.api.route import NativeRoute
from service.api.schemas.jobs import JobPage, JobReply, Status
from service.api.services import Services, ServicesOf
from service.errors import JobNotFoundError
from service.ingest.jobs.job import Job
from service.ingest.jobs.jobs_wanted import JobsWanted
from service.ingest.jobs.open_job import OpenJob

router = APIRouter(route_class=NativeRoute, prefix="/v1/jobs", tags=["jobs"], dependencies=[needs("ingest")])

_MAX_PAGE = 1000
_LONGEST_WAIT_MS = 600_000
_MS = 1000

_CURSOR = Query(ge=1, le=2**63 - 1, description="`next_cursor` of the page before.", examples=[42])
_WAIT = Query(ge=0, le=_LONGEST_WAIT_MS, description="Milliseconds to wait for the job's end.", examples=[2000])
WaitMs = Annotated[int, _WAIT]
JobId = Annotated[str, Path(description="Id of a job.", examples=["b7e6c1b0-6a2e-4c53-8f6f-0a1d5a4c9e11"])]
WaitOrNot = Annotated[int | None, _WAIT]


async def until_ended(job: OpenJob, wait_ms: int, request: Request) -> None:
    """Wait for the end of a job, ``wait_ms`` at most, and not while the server drains: the job is durable.

    Raises:
        ClientDisconnect: nobody waits for it any more.
    """
    await unless_hung_up(request, request.app.state.drain.sooner(job.wait(wait_ms / _MS)))


@router.get("", openapi_extra=fails_with(StoreUnavailableError))
async def list_jobs(
    request: Request,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE, description="Jobs of a page.")] = 100,
    cursor: Annotated[int | None, _CURSOR] = None,
    collection: Annotated[str | None, Query(description="Only those of this collection.", examples=["docs"])] = None,
    status: Annotated[Status | None, Query(description="Only those.", examples=["running"])] = None,
) -> JobPage:
    """Jobs that are open or ended not long ago, the newest first."""
    found = await services.writing.jobs.page(_wanted(request, cursor, collection, status), limit + 1)
    data = [_told(job, request) for job in found[:limit]]
    return JobPage(data=data, next_cursor=str(found[limit - 1].row) if len(found) > limit else None)


@router.get("/{id}", openapi_extra=fails_with(JobNotFoundError, StoreUnavailableError))
async def get_job(id: JobId, request: Request, services: ServicesOf, wait_ms: WaitMs = 0) -> JobReply:
    """A job, when it has ended or the wait is over."""
    await _visible(id, request, services)
    opened = services.writing.jobs.is_open(id)
    if opened is not None and wait_ms:
        await until_ended(opened, wait_ms, request)
    return await _reply(id, request, services)


@router.delete("/{id}", openapi_extra=fails_with(JobNotFoundError, StoreUnavailableError))
async def cancel_job(id: JobId, request: Request, services: ServicesOf) -> JobReply:
    """Cancel a job, if it has not ended.

    The documents that it has written stay; `outcomes` says how many.
    """
    await _visible(id, request, services)
    opened = services.writing.jobs.is_open(id)
    if opened is not None:
        await services.writing.job_runner.cancel(opened)
    return await _reply(id, request, services)


async def _reply(id_: str, request: Request, services: Services) -> JobReply:
    return _told(await _visible(id_, request, services), request)


def _told(job: Job, request: Request) -> JobReply:
    """Its collection by a name that the caller may use."""
    services: Services = request.app.state.services
    rights, aliases = caller_of(request).rights, services.library.aliases()
    opened = services.writing.jobs.is_open(job.id)
    reply = JobReply.of(job) if opened is None else JobReply.of(job, opened.trouble, opened.progress.texts)
    return reply.model_copy(update={"collection": rights.known_as(job.collection, aliases) or job.collection})


async def _visible(id_: str, request: Request, services: Services) -> Job:
    """A job that the caller may see: of a collection that it may use.

    Where not every document exists for it, it sees its own jobs only, as those of others name documents.

    Raises:
        JobNotFoundError: there is none of that id, or not for the caller.
    """
    if not id_.isprintable():
        raise JobNotFoundError(id_)
    job, caller = await services.writing.jobs.find(id_), caller_of(request)
    reach, filter_ = caller.rights.reach(services.library.aliases()), caller.rights.filter
    is_hidden = reach is not None and job.collection not in reach
    if is_hidden or (filter_ is not None and job.caller != caller.name):
        raise JobNotFoundError(id_)
    return job


def _wanted(request: Request, before: int | None, collection: str | None, status: Status | None) -> JobsWanted:
    """A collection may be named by an alias; under a name that is not the caller's there is nothing."""
    caller, aliases = caller_of(request), request.app.state.services.library.aliases()
    reach, filter_ = caller.rights.reach(aliases), caller.rights.filter
    if collection is not None:
        reach = reach if caller.rights.covers(collection, aliases) else frozenset()
        collection = aliases.get(collection, collection)
    return JobsWanted(before, collection, status, reach, None if filter_ is None else caller.name)
