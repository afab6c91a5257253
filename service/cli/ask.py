"""quarry ask."""

from typing import Annotated, Any

import httpx
import orjson
import typer

from service.cli.console import DEFAULT_URL, CollectionOption, KeyOption, UrlOption, checked, client, fail, out

_SHOWN_STAGES = ("queue", "embed", "search", "prompt", "llm_total", "total")


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    top_k: Annotated[int, typer.Option(help="Chunks to retrieve.")] = 10,
    llm: Annotated[str | None, typer.Option(help="Generator; `extractive` quotes without a language model.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the reply as one JSON object.")] = False,
) -> None:
    """Ask a question of a collection."""
    body: dict[str, Any] = {"query": question, "collection": collection, "top_k": top_k}
    if llm is not None:
        body["llm"] = llm
    with client(url, key) as http:
        try:
            reply = checked(http.post("/v1/query", json=body)).json()
        except httpx.TransportError as error:
            fail(f"{url} cannot be reached: {error}")
    if json:
        typer.echo(orjson.dumps(reply).decode())
    else:
        _print(reply)


def _print(reply: dict[str, Any]) -> None:
    out.print(reply["answer"] or "(no answer)", markup=False)
    if reply["degraded"]:
        out.print(f"\npartial: lost {', '.join(reply['degraded'])}", style="yellow")
    cited = {citation["marker"]: citation["chunk_id"] for citation in reply["citations"]}
    chunks = {chunk["id"]: chunk for chunk in reply["chunks"]}
    if cited:
        out.print("\nSources", style="bold")
    for marker, chunk_id in sorted(cited.items()):
        chunk = chunks[chunk_id]
        place = " > ".join(dict.fromkeys([chunk["title"], *chunk["heading_path"]])) or chunk["document_id"]
        cosine = chunk["scores"]["vector"]
        out.print(f"  [{marker}] {place}  ({chunk['document_id']}, cosine {cosine:.3f})", markup=False)
    timings = reply["timings_ms"]
    stages = "  ".join(f"{stage} {timings[stage]:.1f} ms" for stage in _SHOWN_STAGES if stage in timings)
    out.print(f"\n{stages}", style="dim")
