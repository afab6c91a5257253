"""Dashboard, alerts, autoscaler and runbook ask for what a server has: each of their series is in a live scrape."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from markdown_page import ROOT, Page
from models.cross_encoder import CrossEncoderReranker
from overlap import Overlap
from promql import OF_TARGET, grouped_by, selectors
from service.telemetry.gpu import RecordedGpus

DEPLOY = Path(__file__).parents[3] / "deploy"
RECORDING = Path(__file__).parent / "fixtures" / "xid.json"
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
PANELS = [
    panel for panel in json.loads((DEPLOY / "grafana" / "quarry.json").read_text())["panels"] if panel["type"] != "row"
]
ADAPTER = yaml.safe_load((DEPLOY / "kubernetes" / "replicas" / "adapter.yaml").read_text())["rules"]["external"]
RUNBOOK = Page(ROOT / "docs" / "runbook.md")
LOOKED_AT = [line for block in RUNBOOK.blocks if block.language == "promql" for line in block.text.splitlines()]
LOOKED_AT += sorted({name for span in RUNBOOK.spans for name in re.findall(r"quarry_[a-z_]+", span)})
EXPRESSIONS = {
    **{f"runbook: {expression}": expression for expression in LOOKED_AT if not expression.startswith("process_")},
    **{rule.get("record") or rule["alert"]: rule["expr"] for rule in RULES},
    **{rule["name"]["as"]: rule["metricsQuery"] for rule in ADAPTER},
    **{f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
}
ADMIN = "a-key-of-an-operator-with-40-characters!"
NDJSON = {"content-type": "application/x-ndjson"}
ANSWER = [
    b'data: {"choices": [{"index": 0, "delta": {"content": "They sleep "}, "finish_reason": null}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "in winter [1]."}, "finish_reason": null}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
]
CHAT = {"model": "docs", "messages": [{"role": "user", "content": "When do bees sleep?"}]}

Scrape = dict[str, list[dict[str, str]]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


def drive(api: httpx.Client) -> None:
    """Traffic of every kind, until the live recall has been measured."""
    lines = "\n".join(f'{{"id": "d{i}", "text": "Honey bees of hive {i} sleep in winter."}}' for i in range(300))
    assert api.post("/v1/collections/docs/documents:batch", content=lines, headers=NDJSON).is_success
    files = {"file": ("notes.txt", b"Bees wake in spring.", "text/plain")}
    assert api.put("/v1/collections/docs/documents/notes", files=files).is_success
    assert api.post("/v1/collections/docs:rebuild").is_success
    assert api.delete("/v1/collections/docs/documents/d0").is_success
    question = {"query": "When do the honey bees sleep?", "collection": "docs"}
    for route, body in (
        ("/v1/search", question), ("/v1/query", question), ("/v1/query", question | {"stream": True}),
        ("/v1/query", question | {"llm": "extractive"}), ("/v1/chat/completions", CHAT),
        ("/v1/query", question | {"llm": "gone"}),
        ("/v1/embeddings", {"model": "hashing", "input": "bees"}),
    ):  # fmt: skip
        assert api.post(route, json=body).is_success, route
    assert api.post("/v1/search", json={"top_k": 0}).status_code == 422
    assert api.get("/v1/collections", headers={"Authorization": "Bearer none"}).status_code == 401
    limited = {"name": "limited", "scopes": ["query"], "limits": {"requests_per_minute": 1}}
    shown = {"Authorization": f"Bearer {api.post('/v1/admin/keys', json=limited).json()['key']}"}
    assert [api.post("/v1/search", json=question, headers=shown).status_code for _ in "12"] == [200, 429]
    while 'quarry_index_live_recall{collection="docs"}' not in api.get("/metrics").text:  # nothing announces it
        assert api.post("/v1/search", json=question).is_success


@pytest.fixture
def scrape(open_api: OpenApi, language_model: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scrape]:
    """Labels of all samples by name, of an application that has a reranker, language models and a recorded card."""
    monkeypatch.setattr(CrossEncoderReranker, "load", lambda _, **__: Overlap())
    settings: dict[str, Any] = {
        "gpus": RecordedGpus.from_json(RECORDING.read_bytes()),
        "llm": {
            "main": {"url": language_model(ANSWER), "model": "tiny"},
            "gone": {"url": "http://127.0.0.1:9", "model": "tiny"},
        },
        "answer": {"llm": "main"},
        "rerank": {"model": "overlap"},
        "index": {"seal_rows": 256, "shadow_share": 1.0},
        "access": {"admin_key": ADMIN},
    }
    with open_api(**settings) as api:
        api.headers["Authorization"] = f"Bearer {ADMIN}"
        drive(api)
        found: Scrape = {}
        for family in text_string_to_metric_families(api.get("/metrics").text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
        yield found


def labels_of(name: str, scrape: Scrape) -> frozenset[str]:
    """Of a series, or of what a rule makes of some."""
    if name == "up":
        return frozenset()
    if name in RECORDED:
        return grouped_by(RECORDED[name])
    return frozenset().union(*scrape[name])


def test_everything_that_is_asked_for_is_there(scrape: Scrape) -> None:
    missing = []
    for where, expression in EXPRESSIONS.items():
        asked = list(selectors(expression))
        assert asked, where
        for one in asked:
            if one.name == "up" or one.name in RECORDED:
                continue
            if not any(one.labels <= set(labels) and one.takes(labels) for labels in scrape.get(one.name, [])):
                missing.append(f"{where}: {one}")
    assert missing == []


def test_no_expression_names_a_label_that_its_series_lack(scrape: Scrape) -> None:
    for where, expression in EXPRESSIONS.items():
        asked = list(selectors(expression))
        known = frozenset().union(*(labels_of(one.name, scrape) for one in asked))
        assert grouped_by(expression) <= known, where
        for one in asked:
            assert one.labels <= labels_of(one.name, scrape), where


def test_legends_name_labels_that_are_left(scrape: Scrape) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            shown = {part.split("}}")[0] for part in target["legendFormat"].split("{{")[1:]} - OF_TARGET
            left = grouped_by(target["expr"])
            if "by (" not in target["expr"]:
                left = frozenset().union(*(labels_of(one.name, scrape) for one in selectors(target["expr"])))
            assert shown <= left, panel["title"]


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("promtool is missing: Debian's package prometheus has it")
    rules = [
        {"record": f"expression:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(EXPRESSIONS.values())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run(
        [command, "check", "rules", str(file)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout
