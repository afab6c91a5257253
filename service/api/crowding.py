"""Crowding: a question that would wait too long is refused by its head, which costs the ones before it least."""

from fastapi import Depends, Request

from service.api.services import Services


async def _unless_crowded(request: Request) -> None:
    """Let pass who may expect to be searched for in time.

    Raises:
        OverloadedError: there are too many before it.
    """
    services: Services = request.app.state.services
    services.backlog.check()


UNLESS_CROWDED = Depends(_unless_crowded)
"""For routes that search."""
