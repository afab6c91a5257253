"""What each deployment gives the server: its arguments, its variables, its file of settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments import compose, kubernetes, systemd

SETTINGS = "/etc/quarry/quarry.toml"
DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True, slots=True)
class Given:
    """By one deployment.

    Attributes:
        arguments: of `quarry`.
        settings: the file in this repository that lies at ``SETTINGS`` there; None where the arguments name none.
        grace_s: between SIGTERM and SIGKILL.
        start_s: that a start may take.
    """

    arguments: list[str]
    environment: Mapping[str, str]
    settings: Path | None
    grace_s: float
    start_s: float


def every() -> dict[str, Given]:
    """By name."""
    return {
        "compose": _compose(*compose.GPU),
        "compose-cpu": _compose(*compose.CPU),
        "kubernetes": _kubernetes(kubernetes.BASE),
        "kubernetes-cpu": _kubernetes(kubernetes.CPU),
        "systemd": _systemd(),
    }


def seconds(text: str) -> float:
    """Of a duration with one unit or none."""
    return float(text.removesuffix("s"))


def _compose(*files: str) -> Given:
    project = compose.project(files)
    server = project["services"]["quarry"]
    targets = {config["target"]: project["configs"][config["source"]]["file"] for config in server["configs"]}
    settings = compose.FOLDER / targets[SETTINGS] if SETTINGS in server["command"] else None
    grace, start = server["stop_grace_period"], server["healthcheck"]["start_period"]
    return Given(server["command"], server["environment"], settings, seconds(grace), seconds(start))


def _kubernetes(folder: Path) -> Given:
    pod = kubernetes.one(kubernetes.build(folder), "StatefulSet")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    environment = {variable["name"]: variable["value"] for variable in server["env"]}
    probe = server["startupProbe"]
    settings = kubernetes.BASE / "quarry.toml" if SETTINGS in server["args"] else None
    start_s = probe["periodSeconds"] * probe["failureThreshold"]
    return Given(server["args"], environment, settings, pod["terminationGracePeriodSeconds"], start_s)


def _systemd() -> Given:
    unit = systemd.directives(systemd.SERVER)
    (grace,), (start,) = unit["TimeoutStopSec"], unit["TimeoutStartSec"]
    _, *arguments = systemd.command(systemd.SERVER, "ExecStart")
    environment = systemd.environment(systemd.SERVER)
    return Given(arguments, environment, DEPLOY / "quarry.toml", seconds(grace), seconds(start))
