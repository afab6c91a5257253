"""What is served of the playground, and to whom."""

import re
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from service.api.playground import PATHS
from service.api.secure_headers import PLAYGROUND_POLICY, SECURE

FOLDER = Path(str(files("service.playground")))
SERVED = {path.name for path in FOLDER.iterdir() if path.suffix in {".css", ".html", ".js", ".svg"}}
TYPES = {"css": "text/css; charset=utf-8", "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8",
         "svg": "image/svg+xml"}  # fmt: skip


def name_of(path: str) -> str:
    return path.removeprefix("/playground/").removeprefix("/") or "index.html"


@pytest.fixture(scope="module")
def text() -> str:
    """All that a browser reads."""
    return "\n".join((FOLDER / name).read_text() for name in sorted(SERVED))


def test_every_file_has_a_path_and_nothing_else_has() -> None:
    assert {name_of(path) for path in PATHS} == SERVED


def test_every_file_is_in_the_wheel() -> None:
    settings = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["service"]
    packed = {found.name for pattern in patterns for found in FOLDER.parent.glob(pattern) if found.parent == FOLDER}
    assert packed == SERVED


def test_files_are_served_as_what_they_are(api: httpx.Client) -> None:
    for path in PATHS:
        reply = api.get(path)
        name = name_of(path)
        assert (reply.status_code, reply.content) == (200, (FOLDER / name).read_bytes())
        assert reply.headers["content-type"] == TYPES[name.rpartition(".")[2]]
        own = {"content-security-policy": PLAYGROUND_POLICY, "cache-control": "no-cache"}
        assert {header: reply.headers[header] for header in SECURE} == SECURE | own
        head = api.head(path)
        assert (head.status_code, head.headers["etag"]) == (200, reply.headers["etag"])


def test_the_policy_lets_a_browser_load_from_the_server_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in PLAYGROUND_POLICY.split("; "))
    assert {name for name, sources in rules.items() if sources == "'self'"} == {
        "script-src", "style-src", "img-src", "connect-src",
    }  # fmt: skip
    nothing = {"default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"}
    assert {name for name, sources in rules.items() if sources == "'none'"} == nothing
    assert set(rules.values()) == {"'self'", "'none'", "'script'"}


@pytest.mark.parametrize("tags", ["{}", "W/{}", '"other", {}', '"other",W/{}', "*"])
def test_who_has_a_file_gets_it_no_second_time(api: httpx.Client, tags: str) -> None:
    first = api.get("/playground/main.js")
    again = api.get("/playground/main.js", headers={"If-None-Match": tags.format(first.headers["etag"])})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert api.get("/", headers={"If-None-Match": first.headers["etag"]}).status_code == 200, "another file's"


def test_it_is_open_where_keys_are_needed_and_tells_nothing(opened: httpx.Client) -> None:
    for path in PATHS:
        assert opened.get(path).content == (FOLDER / name_of(path)).read_bytes()
    assert opened.get("/playground/").status_code == 401
    assert opened.get("/playground/main.py").status_code == 401


def test_no_path_leads_to_another_file(api: httpx.Client) -> None:
    for path in (
        "/playground/__init__.py",
        "/playground/..%2Fapp.py",
        "/playground/../app.py",
        "/playground/",
        "/index.html",
    ):
        assert api.get(path).status_code == 404
    assert api.post("/").status_code == 405
    assert api.get("/?login=done").status_code == 200


def test_it_is_no_part_of_the_described_api(api: httpx.Client) -> None:
    assert not PATHS & set(api.get("/openapi.json").json()["paths"])


def test_a_name_that_is_not_the_servers_gets_no_page(api: httpx.Client, problem: Callable[..., object]) -> None:
    problem(api.get("/", headers={"host": "rebound.example"}), 421, "misdirected_request")


def test_no_file_names_another_server_or_makes_markup_of_text(text: str) -> None:
    addresses = set(re.findall(r"[a-z]+://[^\s\"'`)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of a language, which nobody asks for"
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="):
        assert sink not in text
    for storage in ("localStorage", "sessionStorage", "indexedDB", "document.cookie"):
        assert storage not in text


def test_files_stay_small() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in FOLDER.glob("*.js")}
    assert {name: length for name, length in lengths.items() if length >= 250} == {}


def test_the_page_loads_each_module_that_there_is(text: str) -> None:
    named = set(re.findall(r"\./([a-z_]+\.js)", text)) | set(re.findall(r"(?:src|href)=\"playground/([^\"]+)\"", text))
    assert named == SERVED - {"index.html"}
