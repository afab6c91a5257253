"""The entrance: what every request passes on its way to a route."""

from fastapi import FastAPI

from service.api.authentication import Authentication
from service.api.bodies import Bodies
from service.api.body_limit import BodyBounds, BodyLimit
from service.api.connections import connections
from service.api.context import RequestContext
from service.api.cross_origin import allow_origins
from service.api.crowding import Crowding
from service.api.drain import Drain, DrainGate
from service.api.known_hosts import KnownHosts
from service.api.limiting import Limiting
from service.api.secure_headers import SecureHeaders
from service.settings import Settings
from service.telemetry.metrics import Metrics


def install(app: FastAPI, settings: Settings, metrics: Metrics, most: int | None = None) -> None:
    """Put it in front of the routes of ``app``; what is added last is passed first.

    Args:
        most: connections at once; None is as the settings have it.
    """
    server = settings.server
    app.state.connections = connections(server, metrics, most)
    app.state.bodies = Bodies()
    bounds = BodyBounds(server.max_body_bytes, server.body_timeout_s, server.max_small_body_bytes)
    app.add_middleware(BodyLimit, bounds=bounds)
    app.add_middleware(Crowding, metrics=metrics)
    app.add_middleware(Limiting, metrics=metrics)
    app.add_middleware(Authentication, metrics=metrics, open_metrics=settings.access.open_metrics)
    app.state.drain = Drain()
    app.add_middleware(DrainGate, drain=app.state.drain, metrics=metrics)
    allow_origins(app, server.cors_origins)
    app.add_middleware(KnownHosts, hosts=server.hosts, origins=server.cors_origins, metrics=metrics)
    app.add_middleware(SecureHeaders)
    app.add_middleware(RequestContext, metrics=metrics)
