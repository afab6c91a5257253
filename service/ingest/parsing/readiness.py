"""When a socket has something to say."""

import asyncio
import socket


async def readable(source: socket.socket) -> None:
    """Wait until ``source`` has bytes, or its end."""
    loop = asyncio.get_running_loop()
    is_ready: asyncio.Future[None] = loop.create_future()
    descriptor = source.fileno()

    def announce() -> None:
        if not is_ready.done():
            is_ready.set_result(None)

    loop.add_reader(descriptor, announce)
    try:
        await is_ready
    finally:
        loop.remove_reader(descriptor)
