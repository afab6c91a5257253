"""The entrance: what every request passes on its way to a route."""

from fastapi import FastAPI

from service.api.body_limit import BodyBounds, BodyLimit
from service.api.connections import connections
from service.api.context import RequestContext
from service.api.cross_origin import allow_origins
from service.api.drain import Drain, DrainGate
from service.api.known_hosts import KnownHosts, names_of
from service.api.secure_headers import SecureHeaders
from service.server_settings import ServerSettings
from service.telemetry.metrics import Metrics


def install(app: FastAPI, server: ServerSettings, metrics: Metrics) -> None:
    """Put it in front of the routes of ``app``; what is added last is passed first."""
    app.state.connections = connections(server, metrics)
    app.state.max_body_bytes = server.max_body_bytes
    app.add_middleware(BodyLimit, bounds=BodyBounds(server.max_body_bytes, server.body_timeout_s))
    app.state.drain = Drain()
    app.add_middleware(DrainGate, drain=app.state.drain, metrics=metrics)
    allow_origins(app, server.cors_origins)
    app.add_middleware(KnownHosts, hosts=names_of(server), origins=server.cors_origins, metrics=metrics)
    app.add_middleware(SecureHeaders)
    app.add_middleware(RequestContext, metrics=metrics)
