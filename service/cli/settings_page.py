"""The page of the settings, made from the settings themselves: ``make docs`` writes it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import typer

from service.settings import Settings

_PREFACE = """\
# Configuration

Made from the settings themselves by `make docs`.

A setting comes from, in this order: a flag of `quarry serve`, its environment variable, the TOML file given by
`--config`, the default. No file is looked for. An unknown name is an error, wherever it stands.

```toml
data_dir = "/var/lib/quarry"

[server]
port = 8080

[llm.main]
url = "unix:///run/vllm.sock"
model = "my-model"
```

- `server.port` below is `port` in the table `[server]` of the file, or `QUARRY_SERVER__PORT=8080` in the environment.
- A list in the environment is JSON: `QUARRY_SERVER__HOSTS='["quarry.example"]'`. Names of language models that come
  from there are in lower case.
- A secret may also come as `QUARRY_..._FILE`, the path of a file that holds it, as
  `QUARRY_LLM__MAIN__KEY_FILE=/run/secrets/llm`.
- Where the default is none, that is what it is when the setting is left out.

[`quarry doctor --config`](operations.md#quarry-doctor) says what ails a file of settings before a server has it.
"""
_AFTER = """
## What several settings decide together

Which generator answers: `llm` in the request, else the collection's `llm`, else `answer.llm`, else the only one
configured, else `extractive`.

A model is served under the last component of its path or hub name, so no two may have the same. Only safetensors are
read, and no code of a model's folder is ever run.

`quarry serve` sets `GOMP_SPINCOUNT=1000` for OpenMP's workers, unless it or `OMP_WAIT_POLICY` is set already
([decision 10](decisions/0010-rows-not-operators.md)).
"""
# Where more is told of a group.
_MORE = {
    "server": "[On a network](exposing.md) has the proxy in front, names, pages and clients that do not behave; "
    "[operations](operations.md#metrics) the metrics.",
    "rerank": "[How a search finds](retrieval.md#reranking) tells when, and within what time.",
    "index": "[Collections](collections.md#tiers) tells of sealed rows, recall and rebuilding.",
    "chunking": "Why these: [decision 18](decisions/0018-chunk-sizes.md).",
    "retrieval": "[How a search finds](retrieval.md) has the steps; "
    "[the language of a collection](retrieval.md#the-language-of-a-collection) the languages.",
    "answer": "[How answers are written](generation.md) has prompts, [quotes](generation.md#quotes) and confidence.",
    "llm.NAME": "`NAME` is of your choice; requests name it as `llm`. [Language models](language-models.md) tells of "
    "queue, time and breaker.",
    "llm.NAME.managed": "[Running it](running.md) tells what happens, [what fits on a card](capacity.md) what is left "
    "for its cache.",
    "budgets": "[When time is short](api.md#when-time-is-short) has the ladder; "
    "[operations](operations.md#stages-and-their-budgets) what each stage covers.",
    "parsing": "[Documents](documents.md#files) tells how files are read.",
    "limits": "[Watermarks](operations.md#watermarks) tells of the marks of memory.",
    "jobs": "[Documents](documents.md#jobs) tells what is promised of them.",
    "access": "[Keys](keys.md) tells of scopes and [limits](keys.md#limits); "
    "[Redis](redis.md#which-server-has-the-keys) of keys that several servers share; "
    "[operations](operations.md#the-audit-log) of the audit log.",
    "redis": "[Redis](redis.md) tells what is shared, and what holds [while it is lost](redis.md#when-it-is-lost).",
    "results": "[Results that are remembered](redis.md#results-that-are-remembered) tells what, and when not.",
    "index.milvus": "[Milvus](milvus.md) tells what lies there and what stays here.",
    "content": "[Content rules](content.md) has the file.",
    "traces": "[Operations](operations.md#traces) tells what a trace has.",
}
_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_NONE = re.compile(r"(?<=[;,] )None\b")  # within a sentence
_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
_NAME = "NAME"

Schema = Mapping[str, Any]


class UndescribedError(Exception):
    """A setting without a word in the docstring of its group."""


@dataclass(frozen=True, slots=True)
class _Group:
    """A table of the file: its name, empty for the whole, and its JSON schema."""

    name: str
    schema: Schema

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        return " ".join(str(self.schema["description"]).split("\n\n")[0].split())

    def setting(self, key: str) -> str:
        """Its full name."""
        return f"{self.name}.{key}" if self.name else key

    def meaning(self, key: str) -> str:
        """As the docstring has it."""
        meanings = dict(_ENTRY.findall(self.schema["description"]))
        if key not in meanings:
            raise UndescribedError(f"{self.setting(key)} is not among the attributes of {self.schema['title']}")
        meaning = _NONE.sub("none", " ".join(meanings[key].split()))
        return meaning.replace("``", "`").replace("|", r"\|")


def page() -> str:
    """Markdown.

    Raises:
        UndescribedError: the docstring of a group leaves out one of its settings.
    """
    schema = Settings.model_json_schema()
    groups = _groups(_Group("", schema), schema["$defs"])
    return _PREFACE + "".join(f"\n{_section(group)}\n" for group in groups) + _AFTER


def _groups(group: _Group, definitions: Schema) -> Iterator[_Group]:
    """A group, then those below it."""
    yield group
    for key, field in group.schema["properties"].items():
        below = _below(field)
        if below:
            name = group.setting(key) + (f".{_NAME}" if "additionalProperties" in field else "")
            yield from _groups(_Group(name, definitions[below.rpartition("/")[2]]), definitions)


def _below(field: Schema) -> str | None:
    """Where the schema of a field is that is a group, or a dict of such."""
    inside = field.get("additionalProperties") or _one(field)
    return str(inside["$ref"]) if isinstance(inside, Mapping) and "$ref" in inside else None


def _section(group: _Group) -> str:
    heading = f"## `{group.name}`" if group.name else "## At the top"
    said = " ".join(filter(None, [group.summary, _MORE.get(group.name)]))
    rows = [
        f"| `{group.setting(key)}` | `{_variable(group.setting(key))}` | {_takes(field)} | {_default(key, group)} | "
        f"{group.meaning(key)} |"
        for key, field in group.schema["properties"].items()
        if not _below(field)
    ]
    return "\n".join(
        [heading, "", said, "", "| setting | variable | takes | default | |", "|---|---|---|---|---|", *rows]
    )


def _variable(name: str) -> str:
    return "QUARRY_" + name.replace(".", "__").upper()


def _one(field: Schema) -> Schema:
    """The schema of a field's value where there is one."""
    choices = [choice for choice in field.get("anyOf", [field]) if choice.get("type") != "null"]
    return dict(choices[0])


def _default(key: str, group: _Group) -> str:
    if key in group.schema.get("required", ()):
        return "needed"
    default = group.schema["properties"][key].get("default")
    return "none" if default in (None, []) else f"`{orjson.dumps(default).decode()}`"


def _takes(field: Schema) -> str:
    """Type and limits."""
    one = _one(field)
    if "enum" in one:
        return ", ".join(f"`{choice}`" for choice in one["enum"])
    if one["type"] == "array":
        return f"list of {_takes(one['items'])}s"
    if one.get("format") in {"path", "password"}:
        kind = {"path": "path", "password": "secret"}[one["format"]]
    else:
        kind = _KINDS[one["type"]]
    return ", ".join(filter(None, [kind, _range(one), _form(one)]))


def _range(one: Schema) -> str:
    least = one.get("minimum", one.get("minLength"))
    most = one.get("maximum", one.get("maxLength"))
    unit = " characters" if "minLength" in one else ""
    if "exclusiveMinimum" in one:
        return f"above {one['exclusiveMinimum']:g}" + (f", at most {most:g}" if most is not None else "")
    if least is not None and most is not None:
        return f"{_shown(least)} to {_shown(most)}{unit}"
    return f"{_shown(least)} or more{unit}" if least is not None else ""


def _form(one: Schema) -> str:
    return f"`{one['pattern']}`".replace("|", r"\|") if "pattern" in one else ""


def _shown(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


if __name__ == "__main__":
    typer.echo(page(), nl=False)
