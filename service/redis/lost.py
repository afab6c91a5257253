"""What goes wrong with Redis: nothing that a client ever sees."""

from service.errors import QuarryError


class RedisLostError(Exception):
    """The server does not answer, or not in time; whoever asked goes on without it."""


class RedisClientMissingError(QuarryError):
    """Redis is to be used, and the package that speaks to it is not installed: the server does not start."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"redis.url is {url!r}, and the Python package 'redis' is not installed: install the extra with "
            "`pip install 'quarry[redis]'`, or leave the setting out"
        )
