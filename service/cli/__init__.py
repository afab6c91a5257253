"""The quarry command: a thin client of the HTTP API, and the way to start the server."""

from service.cli.main import main

__all__ = ["main"]
