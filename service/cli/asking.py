"""What ``quarry ask`` and ``quarry search`` are told, as the body of a request; and where a chunk is, for people."""

import math
from typing import Annotated, Any

import orjson
import typer

from service.cli.console import fail, printable

FiltersOption = Annotated[
    str | None, typer.Option("--filters", "--filter", help="What a document's metadata must pass, as the API's JSON.")
]
BoostOption = Annotated[
    list[str] | None,
    typer.Option(help='Documents to bring forward, as \'{"filter": {...}, "weight": 0.2}\'; may be repeated.'),
]
HybridOption = Annotated[
    bool | None,
    typer.Option("--hybrid/--no-hybrid", help="Look for words beside the vector; by default as the server is set."),
]
WeightOption = Annotated[
    float | None, typer.Option(help="Share of the vectors in the order, 0 to 1; it asks for words too.")
]
RerankOption = Annotated[
    bool | None,
    typer.Option(
        "--rerank/--no-rerank", help="Reorder what is found by the cross-encoder; by default as the server is set."
    ),
]
TopKOption = Annotated[int, typer.Option(help="Chunks to retrieve.")]


def hybrid_of(hybrid: bool | None, weight: float | None) -> dict[str, Any]:
    """The field that says whether words are looked for; none where the server's default is to hold."""
    if hybrid is None and weight is None:
        return {}
    if weight is not None and not math.isfinite(weight):
        fail(f"--weight {weight} is no number that JSON has")
    enabled = {"enabled": hybrid is not False}
    return {"hybrid": enabled if weight is None else enabled | {"weight": weight}}


def rerank_of(rerank: bool | None) -> dict[str, Any]:
    """The field that says whether hits are reordered; none where the server's default is to hold."""
    return {} if rerank is None else {"rerank": {"enabled": rerank}}


def body_of(text: str, collection: str, top_k: int, filters: str | None, boost: list[str] | None) -> dict[str, Any]:
    """The fields that questions and searches share; what is not JSON ends the command."""
    if printable(text) != text:
        fail(f"{printable(text)} is not UTF-8")
    body: dict[str, Any] = {"query": text, "collection": collection, "top_k": top_k}
    if filters is not None:
        body["filters"] = parsed(filters, "--filters")
    if boost:
        body["boost"] = [parsed(one, "--boost") for one in boost]
    return body


def parsed(text: str, option: str) -> Any:  # noqa: ANN401  the server says what is wrong with it
    """An option's JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        fail(f"{option} is not JSON: {error}")


def place_of(chunk: dict[str, Any]) -> str:
    """Title, headings and page of a chunk, its document's id and its cosine."""
    path = " > ".join(dict.fromkeys(filter(None, [chunk["title"], *chunk["heading_path"]]))) or chunk["document_id"]
    page = "" if chunk["page"] is None else f", page {chunk['page']}"
    return f"{path}{page}  ({chunk['document_id']}, cosine {chunk['scores']['vector']:.3f})"
