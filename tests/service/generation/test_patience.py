"""How long one call of a model server is waited for."""

import asyncio

import pytest

from service.budget import Deadline
from service.errors import LlmTimeoutError
from service.generation.patience import Patience


def test_a_wait_that_is_over_may_be_given_up_as_well() -> None:
    """Of several that end in one turn of the loop, the first may have the others given up."""

    async def scenario() -> None:
        patience = Patience(Deadline.after(20))
        with pytest.raises(LlmTimeoutError, match="no text within"):
            async with patience.applied():
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    patience.give_up()
                    raise

    asyncio.run(scenario())
