"""Prometheus and Grafana as compose runs them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from deployments.compose import FOLDER, GPU, project

SERVICES: dict[str, Any] = project(GPU)["services"]


class Exactly(BaseModel):
    """What it does not know is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Datasource(Exactly):
    """As Grafana's provisioning has it."""

    name: str
    uid: str
    type: str
    access: str
    url: str
    isDefault: bool
    jsonData: dict[str, str]


class Datasources(Exactly):
    """A file of them."""

    apiVersion: int
    datasources: list[Datasource]


class Provider(Exactly):
    """Of dashboards."""

    name: str
    type: str
    allowUiUpdates: bool
    options: dict[str, str]


class Providers(Exactly):
    """A file of them."""

    apiVersion: int
    providers: list[Provider]


def mounted(service: str) -> dict[str, Path]:
    """Files of this repository by where the service sees them."""
    mounts = [mount.split(":") for mount in SERVICES[service]["volumes"]]
    return {target: FOLDER / source for source, target, *_ in mounts if source.startswith(".")}


def provisioned(kind: str) -> Any:  # noqa: ANN401  any YAML
    """The file that lies where Grafana looks for this kind of thing."""
    files = mounted("grafana")
    (path,) = (files[target] for target in files if target.startswith(f"/etc/grafana/provisioning/{kind}/"))
    return yaml.safe_load(path.read_text())


@pytest.fixture
def prometheus(tmp_path: Path) -> Path:
    """The folder of its configuration, as the container has it."""
    for target, source in mounted("prometheus").items():
        shutil.copy(source, tmp_path / Path(target).name)
    return tmp_path


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing: Debian's package prometheus has it")
    command = ["promtool", "check", "config", str(folder / "prometheus.yaml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_prometheus_takes_its_configuration_and_the_alerts(prometheus: Path) -> None:
    done = check(prometheus)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout
    assert f"--config.file={next(iter(mounted('prometheus')))}" in SERVICES["prometheus"]["command"]


def test_a_field_that_is_none_is_an_error(prometheus: Path) -> None:
    with (prometheus / "prometheus.yaml").open("a") as file:
        file.write("invented: 1\n")
    assert "invented" in check(prometheus).stderr


def test_it_scrapes_the_server_by_its_name_on_a_network_that_both_are_on() -> None:
    configuration = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yaml").read_text())
    (job,) = configuration["scrape_configs"]
    assert job["job_name"].startswith("quarry")  # what the alerts ask for
    port = SERVICES["quarry"]["environment"]["QUARRY_SERVER__METRICS_PORT"]
    assert job["static_configs"] == [{"targets": [f"quarry:{port}"]}]
    for one, other in (("prometheus", "quarry"), ("grafana", "prometheus")):
        assert set(SERVICES[one]["networks"]) & set(SERVICES[other]["networks"])
    assert SERVICES["prometheus"]["networks"] == ["metrics"]


def test_grafana_has_a_source_that_the_dashboard_takes() -> None:
    (source,) = Datasources.model_validate(provisioned("datasources")).datasources
    dashboard = json.loads(next(path for path in mounted("grafana").values() if path.suffix == ".json").read_text())
    (variable,) = (each for each in dashboard["templating"]["list"] if each["type"] == "datasource")
    assert variable["query"] == source.type
    assert source.isDefault  # as the variable names none
    asked = {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel.get("targets", [])}
    asked |= {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}
    assert asked <= {"${datasource}", source.uid}
    assert source.url == "http://prometheus:9090"


def test_grafana_finds_the_dashboard_where_it_is_mounted() -> None:
    (provider,) = Providers.model_validate(provisioned("dashboards")).providers
    folder = Path(provider.options["path"])
    found = {target: path for target, path in mounted("grafana").items() if Path(target).parent == folder}
    assert [path.resolve() for path in found.values()] == [(FOLDER.parent / "grafana" / "quarry.json").resolve()]


@pytest.mark.parametrize("kind", ["datasources", "dashboards"])
def test_a_field_that_is_none_is_an_error_to_our_reading_too(kind: str) -> None:
    model = {"datasources": Datasources, "dashboards": Providers}[kind]
    with pytest.raises(ValueError, match="invented"):
        model.model_validate(provisioned(kind) | {"invented": 1})
