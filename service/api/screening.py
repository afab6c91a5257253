"""Questions on their way through the screen: what is long is no work for the event loop."""

from collections.abc import Sequence
from functools import partial

from anyio.to_thread import run_sync
from fastapi import Request

from service.api.services import Services

_LONG_CHARACTERS = 4096


async def screened(texts: Sequence[str], param: str, request: Request, services: Services) -> list[str]:
    """The texts as everything else may see them.

    Raises:
        ContentBlockedError: a content rule refuses one of them; ``param`` is the field that holds it.
    """
    screen = partial(services.screen.question, texts, param, request.state.request_id)
    return await run_sync(screen) if sum(map(len, texts)) > _LONG_CHARACTERS else screen()
