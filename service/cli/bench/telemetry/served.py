"""A server whose telemetry is turned off by SIGUSR2, and on again by SIGUSR1.

One process, so that nothing but telemetry differs: two would each choose the form of their forwards by what they
measure at their start.

Usage: ``python -m service.cli.bench.telemetry.served DATA_DIR PORT``
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from service.api.connection import Listening
from service.app import create_app
from service.cli.interpreter import settle_memory, share_the_cores, share_the_interpreter
from service.settings import Settings, load_settings
from service.telemetry.logs import configure_logging

OFF, ON = signal.SIGUSR2, signal.SIGUSR1
# Every search is one of its own: a remembered vector would leave telemetry beside less work than it has.
_UNREMEMBERED = {"cache_bytes": 0}
_COUNTING = ((Counter, "inc"), (Gauge, "set"), (Histogram, "observe"))


def _nothing(*_: Any, **__: Any) -> None:  # noqa: ANN401  whatever a metric is given
    pass


def _itself(metric: MetricWrapperBase, *_: Any, **__: Any) -> MetricWrapperBase:  # noqa: ANN401
    return metric


class Telemetry:
    """The metrics of this process, and its log of requests; for a process that exists to be measured."""

    def __init__(self) -> None:
        self._methods: list[tuple[type, str, Callable[..., Any]]] = [
            (kind, method, getattr(kind, method)) for kind, method in _COUNTING
        ]
        self._labels = MetricWrapperBase.labels
        self._log = logging.getLogger("quarry.requests")

    def turn_off(self) -> None:
        """No metric counts, no request is logged."""
        for kind, method, _ in self._methods:
            setattr(kind, method, _nothing)
        setattr(MetricWrapperBase, "labels", _itself)  # noqa: B010  a method, which mypy would not let be set
        self._log.setLevel(logging.WARNING)

    def turn_on(self) -> None:
        """As it was."""
        for kind, method, counting in self._methods:
            setattr(kind, method, counting)
        setattr(MetricWrapperBase, "labels", self._labels)  # noqa: B010
        self._log.setLevel(logging.NOTSET)


async def serve(settings: Settings, telemetry: Telemetry) -> None:
    """Until the process is ended."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(OFF, telemetry.turn_off)
    loop.add_signal_handler(ON, telemetry.turn_on)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        settle_memory()
        where = {"host": settings.server.host, "port": settings.server.port}
        await uvicorn.Server(Listening(app, app.state.connections, lifespan="off", **where)).serve()


def main() -> None:
    """The arguments are those of this process."""
    _, data_dir, port = sys.argv
    settings = load_settings(None, {"data_dir": data_dir, "server": {"port": int(port)}, "embedding": _UNREMEMBERED})
    share_the_cores()
    configure_logging(settings.server.log_level)
    share_the_interpreter()
    with asyncio.Runner(loop_factory=uvicorn.Config(create_app).get_loop_factory()) as runner:  # as `quarry serve`
        runner.run(serve(settings, Telemetry()))


if __name__ == "__main__":
    main()
