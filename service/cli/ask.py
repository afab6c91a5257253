"""quarry ask."""

from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import orjson
import typer

from service.cli.asking import (
    BoostOption,
    FiltersOption,
    HybridOption,
    RerankOption,
    TopKOption,
    WeightOption,
    body_of,
    hybrid_of,
    place_of,
    rerank_of,
)
from service.cli.console import (
    DEFAULT_URL,
    CollectionOption,
    JsonOption,
    KeyOption,
    UrlOption,
    checked,
    fail,
    out,
    say_json,
    served,
)

_SHOWN_STAGES = ("tokenize", "queue", "embed", "search", "lexical", "fusion", "rerank", "prompt", "llm_total", "total")


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    top_k: TopKOption = 10,
    llm: Annotated[str | None, typer.Option(help="Generator; `extractive` quotes without a language model.")] = None,
    filters: FiltersOption = None,
    boost: BoostOption = None,
    hybrid: HybridOption = None,
    weight: WeightOption = None,
    rerank: RerankOption = None,
    json: JsonOption = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is whole.")] = False,
) -> None:
    """Ask a question of a collection; the answer is printed as it is written."""
    body = body_of(question, collection, top_k, filters, boost) | hybrid_of(hybrid, weight) | rerank_of(rerank)
    if llm is not None:
        body["llm"] = llm
    with served(url, key) as http:
        if json or no_stream:
            reply: dict[str, Any] = checked(http.post("/v1/query", json=body)).json()
        else:
            reply = _streamed(http, body)
    if json:
        say_json(reply)
        return
    if no_stream:
        out.print(reply["answer"] or "(no answer)", markup=False)
    _print_sources(reply)


def _streamed(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """The reply, its answer printed already."""
    reply: dict[str, Any] = {"citations": []}
    is_begun = False
    with http.stream("POST", "/v1/query", json=body | {"stream": True}) as response:
        if not response.is_success:
            response.read()
        for name, data in _events(checked(response)):
            match name:
                case "token":
                    is_begun = True
                    typer.echo(data["text"], nl=False)
                case "citation":
                    reply["citations"].append(data)
                case "error":
                    if is_begun:
                        typer.echo()
                    fail(f"{data['status']}: {data['detail']}")
                case _:
                    reply |= data
    if "status" not in reply:
        fail("the stream ended before the answer did")
    typer.echo("" if is_begun else reply["answer"] or "(no answer)")
    return reply


def _events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each event; the server sends one line of data for each."""
    name = ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, orjson.loads(value)


def _print_sources(reply: dict[str, Any]) -> None:
    if reply["degraded"]:
        out.print(f"\npartial: lost {', '.join(reply['degraded'])}", style="yellow")
    for warning in reply["warnings"]:
        out.print(f"\n{warning['message']}", style="yellow", markup=False)
    cited = {citation["marker"]: citation["chunk_id"] for citation in reply["citations"]}
    chunks = {chunk["id"]: chunk for chunk in reply["chunks"]}
    if cited:
        out.print("\nSources", style="bold")
    for marker, chunk_id in sorted(cited.items()):
        out.print(f"  [{marker}] {place_of(chunks[chunk_id])}", markup=False)
    timings = reply["timings_ms"]
    stages = "  ".join(f"{stage} {timings[stage]:.1f} ms" for stage in _SHOWN_STAGES if stage in timings)
    out.print(f"\n{stages}", style="dim")
