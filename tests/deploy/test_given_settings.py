"""What the deployments give is what the server takes, and what they say of it in several places is one thing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from deployments import compose, given, kubernetes, systemd
from service.access.opened import opened_keys
from service.api import operations
from service.api.drain import ALWAYS_ANSWERED
from service.cli import serve
from service.settings import Settings, load_settings
from service.up.durations import Durations

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = given.every()
ALL = pytest.mark.parametrize("name", DEPLOYMENTS)
KEY = "a-key-of-an-operator-with-40-characters!"
PORT, METRICS_PORT = 8080, 9464

Load = Callable[[str], Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """(deployment) -> settings, from its environment and its file, with a key where it has its secret."""

    def loaded(name: str) -> Settings:
        deployment = DEPLOYMENTS[name]
        key = tmp_path / "admin-key"
        key.write_text(f"{KEY}\n")
        for variable, value in deployment.environment.items():
            monkeypatch.setenv(variable, str(key) if variable.endswith("_FILE") else value)
        return load_settings(deployment.settings)

    return loaded


@ALL
def test_the_server_takes_them(name: str, load: Load, tmp_path: Path) -> None:
    settings = load(name)
    assert settings.access.admin_key is not None
    assert settings.access.admin_key.get_secret_value() == KEY
    assert (settings.server.port, settings.server.metrics_port) == (PORT, METRICS_PORT)
    assert settings.data_dir.is_absolute()
    assert settings.server.is_loopback == (name == "systemd")
    assert settings.access.open_metrics != settings.server.is_loopback
    opened_keys(settings.model_copy(update={"data_dir": tmp_path}))  # of a data directory that has none yet


@ALL
def test_a_language_model_is_managed_unless_it_is_for_a_cpu(name: str, load: Load) -> None:
    settings = load(name)
    if name.endswith("-cpu"):
        assert not settings.llm
        return
    (model,) = settings.llm.values()
    assert model.managed is not None
    assert model.managed.command == Path("/opt/vllm/bin/vllm")
    assert model.managed.weights.parent == Path("/models")


@ALL
def test_an_unknown_variable_stops_it(name: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_PORT", "tcp://10.0.0.1:8080")  # as a service called quarry would be told in its pod
    with pytest.raises(ValidationError, match="port"):
        load(name)


@ALL
def test_the_file_that_the_arguments_name_is_the_one_that_is_mounted(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    named = ["--config", given.SETTINGS] if deployment.settings else []
    assert deployment.arguments == ["up", *named]


def test_what_compose_and_kubernetes_give_differs_in_paths_alone() -> None:
    """So that the start of one, which is tested, is the other's too."""
    given_by = [{**DEPLOYMENTS[name].environment} for name in ("compose-cpu", "kubernetes-cpu")]
    paths = [
        {name: Path(variables.pop(name)) for name in [*variables] if "/" in variables[name]} for variables in given_by
    ]
    assert given_by[0] == given_by[1]
    assert paths[0].keys() == paths[1].keys() == {"QUARRY_ACCESS__ADMIN_KEY_FILE", "QUARRY_DATA_DIR"}
    assert paths[0]["QUARRY_DATA_DIR"] == paths[1]["QUARRY_DATA_DIR"]


def test_both_files_of_settings_are_one() -> None:
    assert (kubernetes.BASE / "quarry.toml").read_bytes() == (given.DEPLOY / "quarry.toml").read_bytes()


@ALL
def test_there_is_time_to_start_and_to_end(name: str) -> None:
    durations, deployment = Durations(), DEPLOYMENTS[name]
    drain_s = durations.serve_drain_s + durations.llm_drain_s
    assert durations.serve_drain_s > serve._DRAIN_S + serve._LAST_BYTES_S
    assert drain_s < deployment.grace_s
    assert durations.serve_ready_s <= deployment.start_s
    assert f"must grant it {deployment.grace_s:g} s to end" in (ROOT / "docs" / "running.md").read_text()


def test_probes_ask_for_what_the_server_answers_also_while_it_ends() -> None:
    pod = kubernetes.one(kubernetes.build(kubernetes.BASE), "StatefulSet")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    paths = {probe: server[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    known = {route.path for route in operations.router.routes}  # type: ignore[attr-defined]
    assert set(paths.values()) <= known
    assert paths["liveness"] in ALWAYS_ANSWERED
    (ready,) = systemd.directives(systemd.SERVER)["ExecStartPost"]
    assert "$$QUARRY_SERVER__PORT/readyz" in ready


def test_ports_are_those_that_are_published_probed_and_scraped() -> None:
    server = compose.project(compose.GPU)["services"]["quarry"]
    assert server["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    (container,) = kubernetes.one(kubernetes.build(kubernetes.BASE), "StatefulSet")["spec"]["template"]["spec"][
        "containers"
    ]
    assert [port["containerPort"] for port in container["ports"]] == [PORT, METRICS_PORT]


def test_the_image_has_one_name_and_one_user() -> None:
    image = compose.project(compose.GPU)["services"]["quarry"]["image"]
    resources = [
        *kubernetes.build(kubernetes.BASE),
        *(each for path in kubernetes.FOLDER.glob("*.yaml") for each in kubernetes.read(path)),
    ]
    named = set(re.findall(r"'image': '([^']+)'", str(resources)))
    users = set(re.findall(r"'(?:runAsUser|runAsGroup|fsGroup)': (\d+)", str(resources)))
    assert (named, len(users)) == ({image}, 1)
    dockerfile = ROOT / "Dockerfile.cuda"
    if not dockerfile.is_file():
        pytest.skip("there is no Dockerfile.cuda")
    text = dockerfile.read_text()
    assert f"-t {image} " in text
    assert f"\nUSER {min(users)}:{min(users)}\n" in text
    assert re.search(r'^ENTRYPOINT \[.*"quarry"\]$', text, re.MULTILINE)
    assert yaml.safe_load(re.findall(r"^VOLUME (.*)$", text, re.MULTILINE)[0]) == ["/data", "/cache"]


def test_no_secret_is_in_a_file_of_the_repository() -> None:
    texts = {path: path.read_text() for path in given.DEPLOY.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if re.search(r"quarry\.[0-9a-f]{16}\.", text)]
