"""The manifests, by Kubernetes' own schemas, and by what they promise."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deployments.kubernetes import BASE, CPU, FOLDER, OPERATOR, REPLICAS, Resource, build, one, read

VERSION = "1.37"
GROUPS_OF_OTHERS = {"monitoring.coreos.com/v1"}
LOOSE = [each for path in sorted(FOLDER.glob("*.yaml")) for each in read(path)]
RESOURCES = [*build(BASE), *build(CPU), *build(REPLICAS), *LOOSE, *read(REPLICAS / "secret.example.yaml")]
NAMED = "app.kubernetes.io/name"


def name_of(resource: Resource) -> str:
    return f"{resource['kind']} {resource['metadata']['name']}"


def in_order(resources: Iterable[Resource]) -> list[str]:
    return sorted(json.dumps(resource, sort_keys=True) for resource in resources)


def judged(resource: Resource) -> None:
    kubernetes_validate.validate(resource, VERSION, strict=True)


def pods(resources: list[Resource]) -> Iterator[Resource]:
    """What says how pods are made."""
    for resource in resources:
        if resource["kind"] == "Pod":
            yield resource["spec"]
        elif "template" in resource.get("spec", {}):
            yield resource["spec"]["template"]["spec"]


def server(folder: Path) -> Resource:
    (container,) = one(build(folder), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize("resource", RESOURCES, ids=name_of)
def test_it_is_valid(resource: Resource) -> None:
    judged(resource)


@pytest.mark.parametrize("resource", RESOURCES, ids=name_of)
def test_a_field_that_is_none_is_an_error(resource: Resource) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        judged(deepcopy(resource) | {"invented": "x"})


def test_a_field_that_is_none_is_an_error_deep_inside() -> None:
    invented = deepcopy(one(build(BASE), "StatefulSet"))
    invented["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["pathh"] = "/readyz"
    with pytest.raises(kubernetes_validate.ValidationError, match="pathh"):
        judged(invented)


@pytest.mark.parametrize("folder", [BASE, CPU, OPERATOR, REPLICAS], ids=lambda folder: folder.name)
def test_kustomize_builds_the_same(folder: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\b(quarry-(?:settings|shared|replica-settings|proxy))-[a-z0-9]{10}\b", r"\1", done.stdout)
    assert in_order(yaml.safe_load_all(text)) == in_order(build(folder))


def test_all_of_it_is_in_one_namespace() -> None:
    for resource in [*build(OPERATOR), *build(REPLICAS), *LOOSE]:
        assert resource["kind"] == "Namespace" or resource["metadata"]["namespace"] == "quarry"
    assert one(build(BASE), "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    "pod", list(pods(RESOURCES)), ids=["base", "cpu", "writer", "replica", "proxy", "load-models", "restore"]
)
def test_pods_are_restricted(pod: Resource) -> None:
    # Not the namespace's own, which a controller makes some time after the namespace.
    assert pod["serviceAccountName"] == one(build(BASE), "ServiceAccount")["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    allowed = {"persistentVolumeClaim", "configMap", "secret", "emptyDir"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])
    context = pod["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("folder", [BASE, CPU], ids=lambda folder: folder.name)
def test_whatever_selects_the_pod_selects_it(folder: Path) -> None:
    resources = build(folder)
    set_ = one(resources, "StatefulSet")["spec"]
    labels = set_["template"]["metadata"]["labels"]
    selectors = [
        set_["selector"]["matchLabels"],
        one(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(resources, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(one(resources, "Service", name)["spec"]["selector"] for name in ("quarry", "quarry-pods")),
        one(build(OPERATOR), "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    assert [selector for selector in selectors if not selector.items() <= labels.items()] == []
    assert {NAMED: "quarry"} in selectors
    assert one(resources, "Service", set_["serviceName"])["spec"]["clusterIP"] == "None"


def test_ports_are_named_once_and_found_by_their_names() -> None:
    resources, container = build(OPERATOR), server(OPERATOR)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for service in ("quarry", "quarry-pods"):
        for port in one(resources, "Service", service)["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
            assert port["name"] == port["targetPort"]
    probes = [container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")]
    scraped = [endpoint["port"] for endpoint in one(resources, "PodMonitor")["spec"]["podMetricsEndpoints"]]
    assert (probes, scraped) == (["http"] * 3, ["metrics"])


def test_nothing_goes_out_and_only_what_was_named_comes_in() -> None:
    policies = [resource for resource in build(BASE) if resource["kind"] == "NetworkPolicy"]
    assert not any("egress" in policy["spec"] for policy in policies)
    everything = one(policies, "NetworkPolicy", "deny-all")["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = one(policies, "NetworkPolicy")["spec"]
    assert allowed["policyTypes"] == ["Ingress"]
    let_in = {rule["ports"][0]["port"]: rule["from"] for rule in allowed["ingress"]}
    assert let_in == {
        "http": [{"namespaceSelector": {"matchLabels": {"quarry-client": "true"}}}],
        "metrics": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    }


@pytest.mark.parametrize("folder", [BASE, CPU], ids=lambda folder: folder.name)
def test_what_is_mounted_is_there(folder: Path) -> None:
    resources = build(folder)
    set_ = one(resources, "StatefulSet")["spec"]
    pod, container = set_["template"]["spec"], server(folder)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claims = [claim["metadata"]["name"] for claim in set_["volumeClaimTemplates"]]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert sorted(mounts.values()) == sorted([*volumes, *claims])
    one(resources, "PersistentVolumeClaim", volumes["models"]["persistentVolumeClaim"]["claimName"])
    one(resources, "ServiceAccount", pod["serviceAccountName"])
    assert "quarry.toml" in one(resources, "ConfigMap", volumes["settings"]["configMap"]["name"])["data"]
    key = Path({each["name"]: each["value"] for each in container["env"]}["QUARRY_ACCESS__ADMIN_KEY_FILE"])
    secret = one(LOOSE, "Secret", volumes[mounts[str(key.parent)]]["secret"]["secretName"])
    assert key.name in secret["stringData"]
    assert secret["metadata"]["name"] not in [resource["metadata"]["name"] for resource in resources]


def test_there_is_one_and_with_a_gpu_unless_it_is_for_a_cpu() -> None:
    for folder in (BASE, CPU):
        set_ = one(build(folder), "StatefulSet")["spec"]
        assert set_["replicas"] == 1
        assert set_["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert server(BASE)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia" not in str(server(CPU))


def test_the_kinds_of_prometheus_operator_say_no_more_than_it_knows() -> None:
    others: list[Any] = [each for each in build(OPERATOR) if each["apiVersion"] in GROUPS_OF_OTHERS]
    assert [name_of(each) for each in others] == ["PodMonitor quarry"]
    assert set(others[0]["spec"]) == {"selector", "podMetricsEndpoints"}
    (endpoint,) = others[0]["spec"]["podMetricsEndpoints"]
    assert set(endpoint) <= {"port", "path", "interval", "scrapeTimeout"}
    assert int(endpoint["scrapeTimeout"].removesuffix("s")) <= int(endpoint["interval"].removesuffix("s"))


def test_the_alerts_become_a_rule_of_the_operator() -> None:
    rules = FOLDER.parent / "prometheus" / "rules.yaml"
    command = f"{{ cat {OPERATOR}/rule-head.yaml; sed 's/^/  /' {rules}; }}"
    made = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=100, check=True)
    rule = yaml.safe_load(made.stdout)
    assert rule["spec"] == yaml.safe_load(rules.read_text())
    assert (rule["kind"], rule["metadata"]["namespace"]) == ("PrometheusRule", "quarry")
    assert command.replace(str(FOLDER.parent), "deploy") in (FOLDER.parents[1] / "docs" / "deploying.md").read_text()
