"""The compose project, by the schema of its specification, and by what it promises."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.compose import CPU, FOLDER, GPU, defaults, project
from deployments.systemd import variables

BOTH = pytest.mark.parametrize("files", [GPU, CPU], ids=["gpu", "cpu"])
MADE_BY_THE_OPERATOR = {"./secrets/admin-key", "./secrets/grafana-password", "./models"}


def judged(project_: dict[str, Any], folder: Path) -> str:
    """What the specification's schema finds wrong; empty where nothing is."""
    file = folder / "compose.yaml"
    file.write_text(yaml.safe_dump(project_))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@BOTH
def test_it_is_a_compose_project(files: tuple[str, ...], tmp_path: Path) -> None:
    assert judged(project(files), tmp_path) == ""


def test_a_field_that_is_none_is_an_error(tmp_path: Path) -> None:
    invented = project(GPU)
    invented["services"]["quarry"]["stop_grace_periode"] = "90s"
    assert "stop_grace_periode" in judged(invented, tmp_path)


@BOTH
def test_every_service_runs_with_nothing_that_it_does_not_need(files: tuple[str, ...]) -> None:
    for name, service in project(files)["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pull_policy"] == "never", name
        assert not {"privileged", "network_mode", "user", "cap_add", "pid", "ipc", "devices"} & set(service), name


@BOTH
def test_ports_are_for_this_machine_alone_and_the_metrics_for_none(files: tuple[str, ...]) -> None:
    services = project(files)["services"]
    published = {name: service.get("ports", []) for name, service in services.items()}
    assert published == {"quarry": ["127.0.0.1:8080:8080"], "prometheus": [], "grafana": ["127.0.0.1:3000:3000"]}


@BOTH
def test_no_network_has_a_way_out(files: tuple[str, ...]) -> None:
    found = project(files)
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    for network in found["networks"].values():
        assert network.get("internal") or network["driver_opts"][masquerade] == "false"
    for service in found["services"].values():
        assert set(service["networks"]) <= set(found["networks"])
        assert "published" in service["networks"] or not service.get("ports")


@BOTH
def test_what_it_mounts_is_there_or_is_made_by_the_operator(files: tuple[str, ...]) -> None:
    found = project(files)
    sources = [entry["file"] for part in ("configs", "secrets") for entry in found[part].values()]
    for service in found["services"].values():
        assert set(service.get("secrets", [])) <= set(found["secrets"])
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source.startswith(".") or source in found["volumes"]
            sources += [source] if source.startswith(".") else []
    for source in set(sources) - MADE_BY_THE_OPERATOR:
        assert (FOLDER / source).is_file(), source
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert ignored == [".env", "secrets/", "models/"]


def test_its_variables_and_their_defaults_are_those_of_the_example() -> None:
    assert defaults() == set(variables(FOLDER / ".env.example").items())


def test_a_variable_is_put_in() -> None:
    image = project(GPU, {"QUARRY_IMAGE": "mine:2"})["services"]["quarry"]["image"]
    assert image == "mine:2"


def test_the_secret_is_where_the_server_looks() -> None:
    server = project(GPU)["services"]["quarry"]
    path = Path(server["environment"]["QUARRY_ACCESS__ADMIN_KEY_FILE"])
    assert path.parent == Path("/run/secrets")
    assert path.name in server["secrets"]


def test_without_a_gpu_none_is_asked_for() -> None:
    gpu, cpu = (project(files)["services"]["quarry"] for files in (GPU, CPU))
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert "nvidia" not in json.dumps(cpu)
    assert {name: value for name, value in gpu.items() if name not in {"deploy", "command"}} == {
        name: value for name, value in cpu.items() if name != "command"
    }


def test_grafana_lets_nobody_in_without_the_password_and_asks_nobody_outside() -> None:
    grafana = project(GPU)["services"]["grafana"]
    environment = grafana["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana-password"  # noqa: S105  a path
    assert grafana["secrets"] == ["grafana-password"]
    off = {name for name, value in environment.items() if value == "false"}
    assert off >= {
        "GF_AUTH_ANONYMOUS_ENABLED", "GF_USERS_ALLOW_SIGN_UP", "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES", "GF_NEWS_NEWS_FEED_ENABLED",
    }  # fmt: skip
