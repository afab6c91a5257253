"""``python -m loadtests.fake_vllm``."""

import sys
from collections.abc import Sequence

import uvicorn

from loadtests.fake_vllm.app import FakeApp
from loadtests.fake_vllm.options import parsed
from loadtests.fake_vllm.server import configuration


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal ends it; a socket file left behind is replaced."""
    options, uds, port = parsed(arguments)
    where = {"host": "127.0.0.1", "port": port} if uds is None else {"uds": str(uds)}
    if uds is not None:
        uds.unlink(missing_ok=True)
    uvicorn.Server(configuration(FakeApp(options), **where)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
