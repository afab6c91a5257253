"""A server whose metrics do nothing and which logs no requests, or one as `quarry serve` runs it.

Usage: ``python -m service.cli.bench.telemetry.served on|off DATA_DIR PORT``
"""

import asyncio
import sys
from typing import Any

import uvicorn
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from service.api.connection import Listening
from service.app import create_app
from service.cli.interpreter import settle_memory, share_the_cores, share_the_interpreter
from service.settings import Settings, load_settings
from service.telemetry.logs import configure_logging

_ON, _OFF = "on", "off"
# Every search is one of its own: a remembered vector would leave telemetry beside less work than it has.
_UNREMEMBERED = {"cache_bytes": 0}


def silence() -> None:
    """Let every metric of this process do nothing; for a process that exists to be measured."""

    def nothing(*_: Any, **__: Any) -> None:  # noqa: ANN401  whatever it is given
        pass

    def itself(metric: MetricWrapperBase, *_: Any, **__: Any) -> MetricWrapperBase:  # noqa: ANN401
        return metric

    for kind, methods in ((Counter, ("inc",)), (Gauge, ("set", "set_function")), (Histogram, ("observe",))):
        for method in methods:
            setattr(kind, method, nothing)
    MetricWrapperBase.labels = itself  # type: ignore[method-assign,assignment]


async def serve(settings: Settings) -> None:
    """Until the process is ended."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        settle_memory()
        where = {"host": settings.server.host, "port": settings.server.port}
        await uvicorn.Server(Listening(app, app.state.connections, lifespan="off", **where)).serve()


def main() -> None:
    """The arguments are those of this process."""
    _, state, data_dir, port = sys.argv
    if state not in {_ON, _OFF}:
        sys.exit(f"{state!r} is neither {_ON} nor {_OFF}")
    settings = load_settings(None, {"data_dir": data_dir, "server": {"port": int(port)}, "embedding": _UNREMEMBERED})
    share_the_cores()
    configure_logging("info" if state == _ON else "warning")
    if state == _OFF:
        silence()
    share_the_interpreter()
    with asyncio.Runner(loop_factory=uvicorn.Config(create_app).get_loop_factory()) as runner:  # as `quarry serve`
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
