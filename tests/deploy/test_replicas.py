"""The manifests for query replicas: what they keep, whom they reach, when they end, by what there are more."""

import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deployments import given
from deployments.kubernetes import REPLICAS, Resource, build, one, read
from service.access.opened import opened_keys
from service.api import operations
from service.cli import serve
from service.settings import BudgetSettings, Settings, load_settings

RESOURCES = build(REPLICAS)
ROUTES = given.DEPLOY / "nginx" / "routes.conf"
NAMED = "app.kubernetes.io/name"
WRITER, REPLICA, PROXY = "quarry", "quarry-replica", "quarry-proxy"
SECRET = "a secret of more than 32 characters, all of them said aloud"  # noqa: S105  of no Redis
BACKENDS = [{"namespaceSelector": {"matchLabels": {"quarry-backend": "true"}}}]


def pod(name: str) -> Resource:
    kind = "StatefulSet" if name == WRITER else "Deployment"
    spec: Resource = one(RESOURCES, kind, name)["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Resource:
    (found,) = pod(name)["containers"]
    return dict(found)


def labels(name: str) -> dict[str, str]:
    return {NAMED: name}


def shared() -> dict[str, str]:
    data: dict[str, str] = one(RESOURCES, "ConfigMap", "quarry-shared")["data"]
    return data


def policy(name: str) -> Resource:
    spec: Resource = one(RESOURCES, "NetworkPolicy", name)["spec"]
    return spec


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Settings]:
    """(writer or replica) -> settings, from what its pod is given."""

    def loaded(name: str) -> Settings:
        secret = tmp_path / "secret"
        secret.write_text(f"{SECRET}\n")
        environment = {each["name"]: each["value"] for each in container(name)["env"]}
        with monkeypatch.context() as patch:
            for variable, value in {**shared(), **environment}.items():
                patch.setenv(variable, str(secret) if variable.endswith("_FILE") else value)
            return load_settings(REPLICAS / "replica.toml" if name == REPLICA else None)

    return loaded


def test_writer_and_replicas_take_their_settings_and_agree_on_what_they_share(
    load: Callable[[str], Settings], tmp_path: Path
) -> None:
    writer, replica = load(WRITER), load(REPLICA)
    opened_keys(writer.model_copy(update={"data_dir": tmp_path / "data"}))
    assert (writer.server.role, replica.server.role) == ("writer", "replica")
    assert (writer.access.keys, replica.access.keys) == ("published", "replicated")
    assert (writer.access.admin_key is None, replica.access.admin_key is None) == (False, True)
    assert (writer.redis, writer.embedding) == (replica.redis, replica.embedding)
    assert writer.index.milvus == replica.index.milvus
    assert replica.index.milvus.url
    assert replica.redis.secret
    assert replica.redis.secret.get_secret_value() == SECRET
    assert [each.urls is not None for each in replica.llm.values()] == [True]
    for name in (WRITER, REPLICA):
        assert container(name)["envFrom"] == [{"configMapRef": {"name": "quarry-shared"}}]
    assert container(WRITER)["args"] == ["up"]
    assert container(REPLICA)["args"] == ["serve", "--config", "/etc/quarry/replica.toml"]


def test_replicas_and_proxies_keep_nothing() -> None:
    for name in (REPLICA, PROXY):
        assert {kind for volume in pod(name)["volumes"] for kind in volume} <= {
            "name",
            "configMap",
            "secret",
            "emptyDir",
        }
        assert sorted(mount["name"] for mount in container(name)["volumeMounts"]) == sorted(
            volume["name"] for volume in pod(name)["volumes"]
        )
    secrets = [volume["secret"]["secretName"] for volume in pod(REPLICA)["volumes"] if "secret" in volume]
    assert secrets == ["quarry-redis"], "no operator's key"
    (secret,) = read(REPLICAS / "secret.example.yaml")
    files = [each["value"] for each in container(REPLICA)["env"] if each["name"].startswith("QUARRY_REDIS")]
    assert sorted(Path(file).name for file in files) == sorted(secret["stringData"])
    (mount,) = (each for each in container(REPLICA)["volumeMounts"] if each["name"] == "redis")
    assert {str(Path(file).parent) for file in files} == {mount["mountPath"]}


def test_whatever_selects_pods_selects_its_own_and_no_others() -> None:
    for name in (REPLICA, PROXY):
        deployment = one(RESOURCES, "Deployment", name)["spec"]
        assert deployment["template"]["metadata"]["labels"] == labels(name)
        assert deployment["selector"]["matchLabels"] == labels(name)
        (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == labels(name)
        assert one(RESOURCES, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels(name)
        assert policy(name)["podSelector"]["matchLabels"] == labels(name)
    services = {"quarry": WRITER, "quarry-pods": WRITER, "quarry-replicas": REPLICA, "quarry-proxy": PROXY}
    found = {each["metadata"]["name"]: each["spec"]["selector"] for each in RESOURCES if each["kind"] == "Service"}
    assert found == {service: labels(name) for service, name in services.items()}
    monitors = read(REPLICAS / "pod-monitors.yaml")
    assert [each["spec"]["selector"]["matchLabels"] for each in monitors] == [labels(WRITER), labels(REPLICA)]


def test_addresses_are_found_and_let_through() -> None:
    """Each host that a pod is told of is one that its policy lets it reach, at that port."""
    llm = tomllib.loads((REPLICAS / "replica.toml").read_text())["llm"]["main"]
    ports = {urlsplit(shared()[name]).port for name in shared() if name.endswith("URL")}
    asked = {WRITER: ports, REPLICA: ports | {urlsplit(url).port for url in llm["urls"]}}
    for name, rules in {WRITER: policy("quarry-writer"), REPLICA: policy(REPLICA)}.items():
        (rule,) = rules["egress"]
        assert rule["to"] == BACKENDS
        assert {port["port"] for port in rule["ports"]} == asked[name]
    (rule,) = policy(PROXY)["egress"]
    assert rule["to"] == [{"podSelector": {"matchExpressions": [
        {"key": NAMED, "operator": "In", "values": [WRITER, REPLICA]}
    ]}}]  # fmt: skip
    for name in ("quarry-writer", REPLICA):
        assert {"from": [{"podSelector": {"matchLabels": labels(PROXY)}}], "ports": [
            {"port": "http", "protocol": "TCP"}
        ]} in policy(name)["ingress"]  # fmt: skip


def test_nginx_asks_the_services_and_does_with_routes_what_it_does_elsewhere() -> None:
    data = one(RESOURCES, "ConfigMap", PROXY)["data"]
    assert data["routes.conf"] == ROUTES.read_text()
    for service in ("quarry", "quarry-replicas"):
        (port,) = one(RESOURCES, "Service", service)["spec"]["ports"]
        assert f"server {service}.quarry.svc.cluster.local:{port['port']}" in data["nginx.conf"]
    (listening,) = container(PROXY)["ports"]
    assert f"listen {listening['containerPort']};" in data["nginx.conf"]


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("there is no nginx: Debian's package of that name has it")
    text: str = one(RESOURCES, "ConfigMap", PROXY)["data"]["nginx.conf"]
    # Names of a cluster, which an nginx that is older than that of the manifest could not follow either.
    for there, here in (
        (" resolve ", " "), ("resolver kube-dns.kube-system.svc.cluster.local valid=5s;", ""),
        ("/tmp/", f"{tmp_path}/"),  # noqa: S108  of a container
        ("quarry-replicas.quarry.svc.cluster.local", "127.0.0.1"), ("quarry.quarry.svc.cluster.local", "127.0.0.1"),
    ):  # fmt: skip
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "nginx.conf").write_text(text)
    shutil.copy(ROUTES, tmp_path)
    command = [program, "-e", "stderr", "-t", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_a_pod_is_forgotten_before_it_drains_and_drained_before_it_is_killed() -> None:
    spec, sleep = pod(REPLICA), container(REPLICA)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep + serve._DRAIN_S + serve._LAST_BYTES_S < spec["terminationGracePeriodSeconds"]
    text = one(RESOURCES, "ConfigMap", PROXY)["data"]["nginx.conf"]
    assert float(text.split("valid=")[1].split("s;")[0]) < sleep
    again_s = float(ROUTES.read_text().split("proxy_next_upstream_timeout ")[1].split("s;")[0])
    assert again_s * 1000 >= serve._DRAIN_S * 1000 + BudgetSettings().total_ms, "what a drain cuts is asked for again"
    proxy_s = container(PROXY)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert proxy_s + again_s < pod(PROXY)["terminationGracePeriodSeconds"]
    strategy = one(RESOURCES, "Deployment", REPLICA)["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_probes_ask_for_what_is_served() -> None:
    found = {
        probe: container(REPLICA)[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")
    }
    assert found == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert set(found.values()) <= {route.path for route in operations.router.routes}  # type: ignore[attr-defined]


class TestAutoscaler:
    """Its metric, from the rule of the adapter."""

    @staticmethod
    def rule() -> dict[str, Any]:
        (found,) = yaml.safe_load((REPLICAS / "adapter.yaml").read_text())["rules"]["external"]
        return dict(found)

    def test_it_asks_for_the_metric_that_the_adapter_has(self) -> None:
        spec = one(RESOURCES, "HorizontalPodAutoscaler", REPLICA)["spec"]
        (metric,) = spec["metrics"]
        assert metric["external"]["metric"]["name"] == self.rule()["name"]["as"]
        assert spec["scaleTargetRef"]["name"] == REPLICA
        assert "replicas" not in one(RESOURCES, "Deployment", REPLICA)["spec"], "an apply would set it"
        budget = one(RESOURCES, "PodDisruptionBudget", REPLICA)["spec"]
        assert budget["maxUnavailable"] < spec["minReplicas"] < spec["maxReplicas"]

    def test_the_adapter_asks_for_the_job_that_is_scraped(self) -> None:
        _, monitor = read(REPLICAS / "pod-monitors.yaml")
        job = f'job="{monitor["metadata"]["namespace"]}/{monitor["metadata"]["name"]}"'
        assert self.rule()["seriesQuery"].count(job) == 1
        assert self.rule()["metricsQuery"].count(job) == 2

    def test_it_is_the_p95_of_what_a_replica_does_and_0_where_nobody_asks(self, tmp_path: Path) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            pytest.skip("promtool is missing: Debian's package prometheus has it")
        query = " ".join(self.rule()["metricsQuery"].split())
        (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"tests": list(self.cases(query))}))
        command = [promtool, "test", "rules", str(tmp_path / "tests.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    @staticmethod
    def cases(query: str) -> Iterator[dict[str, Any]]:
        def series(stage: str, le: str, step: int, job: str = "quarry/quarry-replica") -> dict[str, str]:
            name = f'quarry_stage_seconds_bucket{{job="{job}", pod="a", stage="{stage}", le="{le}"}}'
            return {"series": name, "values": f"0+{step}x10"}

        ready = {"series": 'quarry_ready{job="quarry/quarry-replica", pod="a"}', "values": "1x10"}
        busy = [
            # 19 of 20 within 0.1 s, all within 0.2; a language model that takes long; a writer that does.
            *(series("embed", le, step) for le, step in (("0.1", 190), ("0.2", 200), ("+Inf", 200))),
            *(series("search", le, step) for le, step in (("0.1", 0), ("0.2", 200), ("+Inf", 200))),
            *(series("llm_total", le, step) for le, step in (("0.1", 0), ("30", 200), ("+Inf", 200))),
            *(series("embed", le, step, "quarry/quarry") for le, step in (("0.1", 0), ("30", 200), ("+Inf", 200))),
        ]
        idle = [series(stage, le, 0) for stage in ("embed", "search") for le in ("0.1", "+Inf")]
        for given_series, found in (
            ([*busy, ready], [0.1 + 0.195]),
            ([*idle, ready], [0]),
            ([ready], [0]),
            ([*busy[-3:]], []),
        ):
            samples = [{"labels": "{}", "value": value} for value in found]
            check = {"expr": query, "eval_time": "10m", "exp_samples": samples}
            yield {"interval": "1m", "input_series": given_series, "promql_expr_test": [check]}
