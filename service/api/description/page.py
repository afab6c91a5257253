"""The page of the API, rendered from its document: Markdown for the documentation, HTML for browsers."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

from service.api.description.document import Json, operations
from service.api.media_type import FORM, JSON

_SHOWN_VALUES = 8
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
# Of one character: that there is one is said more plainly.
_PLAIN = {("minLength", 1): "not empty", ("minItems", 1): "not empty"}
_PATH_JOINT = re.compile(r"(?<=\w)(?=/\w|/\{|:\w)|(?<=\})(?=[/:])")


def markdown(document: Json) -> str:
    """The page as Markdown."""
    environment = Environment(
        loader=PackageLoader("service.api.description", "."),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  Markdown, of our own text alone
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = _Page(document)
    environment.filters["cell"] = _cell
    return environment.get_template("page.md.j2").render(
        info=document["info"], tags=page.tags(), errors=page.errors(), page=page
    )


def html(text: str) -> str:
    """Markdown as a page that loads nothing."""
    environment = Environment(loader=PackageLoader("service.api.description", "."), autoescape=True)
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    renderer.add_render_rule("code_inline", _code)
    body = renderer.render(text)
    return environment.get_template("page.html.j2").render(body=body)


def _code(_renderer: RendererProtocol, tokens: Sequence[Token], index: int, *_: object) -> str:
    """Code whose lines end between the parts of a path and not inside its words."""
    return f"<code>{_PATH_JOINT.sub('<wbr>', escapeHtml(tokens[index].content))}</code>"


class _Page:
    """What the template asks of a document."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._schemas: Json = document["components"]["schemas"]

    def tags(self) -> list[Json]:
        """Tags with their operations, in the order of the document."""
        found = [{"path": path, "method": method, **said} for path, method, said in operations(self._document)]
        return [
            tag | {"operations": [operation for operation in found if tag["name"] in operation["tags"]]}
            for tag in self._document["tags"]
        ]

    def errors(self) -> list[tuple[str, str, str]]:
        """Code, statuses and an example's detail of every problem."""
        statuses: dict[str, set[str]] = {}
        details: dict[str, str] = {}
        for _, _, operation in operations(self._document):
            for status, reply in operation["responses"].items():
                for content in reply.get("content", {}).values():
                    for code, example in content.get("examples", {}).items():
                        if isinstance(example["value"], dict) and "detail" in example["value"]:
                            statuses.setdefault(code, set()).add(status)
                            details[code] = example["value"]["detail"]
        return [(code, ", ".join(sorted(statuses[code])), details[code]) for code in sorted(statuses)]

    def fields(self, schema: Json) -> list[Json]:
        """Rows of a table: the members of an object, those of objects inside it with their path."""
        return list(self._fields(schema, ""))

    def replies(self, operation: Json) -> list[tuple[str, str]]:
        """Status and what it means, of every reply."""
        return [(status, reply["description"]) for status, reply in operation["responses"].items()]

    def example(self, owner: Json) -> tuple[str, str] | None:
        """Language and text of the first example."""
        for media_type, content in owner.get("content", {}).items():
            values = [example["value"] for example in content.get("examples", {}).values()] or [content.get("example")]
            if isinstance(values[0], str):
                return ("text" if "json" not in media_type else "json"), values[0].strip()
            if values[0] is not None:
                return "json", _lines(values[0])
        return None

    def succeeded(self, operation: Json) -> Json:
        """The first reply that is a success."""
        reply: Json = next(reply for status, reply in operation["responses"].items() if status < "3")
        return reply

    def curl(self, operation: Json) -> str:
        """A command that can be tried."""
        path = operation["path"]
        for parameter in operation["parameters"]:
            path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example", "")).replace("/", "%2F"))
        verb = {"get": "", "head": "-I ", "post": "-X POST "}.get(
            operation["method"], f"-X {operation['method'].upper()} "
        )
        return f"curl {verb}localhost:8080{path}{_sent(operation.get('requestBody', {}))}"

    def _fields(self, schema: Json, prefix: str) -> Iterator[Json]:
        schema = self._resolved(schema)
        for name, field in schema.get("properties", {}).items():
            inner = self._inner(field)
            yield {
                "name": f"{prefix}{name}",
                "type": self.type(field),
                "required": name in schema.get("required", ()),
                "said": "; ".join(filter(None, (field.get("description", "").rstrip("."), self._limits(field)))),
                "default": json.dumps(field["default"]) if field.get("default") is not None else "",
            }
            if inner is not None and inner.get("title") != "Explanation":
                yield from self._fields(inner, f"{prefix}{name}{'[]' if 'array' in self.type(field) else ''}.")

    def _inner(self, field: Json) -> Json | None:
        """The object with members of its own that a field is or holds."""
        options = [field, *field.get("anyOf", []), field.get("items", {})]
        named = [self._resolved(option) for option in options if "$ref" in option]
        return next((option for option in named if option.get("properties")), None)

    def type(self, field: Json) -> str:
        """In words."""
        if "$ref" in field:
            name: str = field["$ref"].rpartition("/")[2]
            return "object" if self._schemas[name].get("properties") else name
        if "enum" in field or "const" in field:
            return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
        if "anyOf" in field:
            return " or ".join(dict.fromkeys(self.type(option) for option in field["anyOf"]))
        type_ = field.get("type", "any")
        if type_ == "array":
            return f"array of {self.type(field.get('items', {}))}"
        return " or ".join(type_) if isinstance(type_, list) else str(type_)

    def _limits(self, field: Json) -> str:
        options = [field, *field.get("anyOf", [])]
        said = [
            _PLAIN.get((keyword, option[keyword]), text.format(option[keyword]))
            for option in options
            for keyword, text in _BOUNDS.items()
            if keyword in option
        ]
        settings = [f"`{setting}`" for option in options for setting in option.get("x-settings", {}).values()]
        return ", ".join(dict.fromkeys(said)) + (f" ({', '.join(settings)})" if settings else "")

    def _resolved(self, schema: Json) -> Json:
        for option in (schema, *schema.get("anyOf", ()), schema.get("items", {})):
            if "$ref" in option:
                resolved: Json = self._schemas[option["$ref"].rpartition("/")[2]]
                return resolved
        return schema


def _sent(body: Json) -> str:
    """The options of curl that send the first example of a body."""
    for media_type, content in body.get("content", {}).items():
        value = next((example["value"] for example in content.get("examples", {}).values()), None)
        if media_type == FORM or value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        option = "-d" if media_type == JSON else "--data-binary"
        return f" -H 'Content-Type: {media_type}' \\\n  {option} {shlex.quote(text.strip())}"
    return ""


def _cell(text: Any) -> str:  # noqa: ANN401  anything that is printed
    """Text that ends no cell of a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def _lines(value: Any) -> str:  # noqa: ANN401  any JSON
    """JSON with a line for each member of an object."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    members = (f" {json.dumps(name)}: {json.dumps(member, ensure_ascii=False)}" for name, member in value.items())
    return "{\n" + ",\n".join(members) + "\n}"
