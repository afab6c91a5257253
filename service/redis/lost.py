"""What goes wrong with Redis: nothing that a client ever sees."""


class RedisLostError(Exception):
    """The server does not answer, or not in time; whoever asked goes on without it."""
