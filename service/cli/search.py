"""quarry search."""

from typing import Annotated

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
    err,
    out,
    say_json,
    served,
)

_SHOWN_CHARACTERS = 300


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    top_k: TopKOption = 10,
    filters: FiltersOption = None,
    boost: BoostOption = None,
    hybrid: HybridOption = None,
    weight: WeightOption = None,
    rerank: RerankOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="With --json: also how it was found.")] = False,
    json: JsonOption = False,
) -> None:
    """Find the chunks nearest to a text, by meaning and by words, without an answer."""
    body = body_of(query, collection, top_k, filters, boost) | hybrid_of(hybrid, weight) | rerank_of(rerank)
    with served(url, key) as http:
        reply = checked(http.post("/v1/search", json=body | {"explain": explain})).json()
    if json:
        say_json(reply)
        return
    for warning in reply["warnings"]:
        err.print(warning["message"], style="yellow", markup=False)
    for place, chunk in enumerate(reply["chunks"], start=1):
        text = " ".join(chunk["text"].split())
        out.print(f"{place}. {place_of(chunk)}", style="bold", markup=False)
        out.print(f"   {text[:_SHOWN_CHARACTERS]}{'...' if len(text) > _SHOWN_CHARACTERS else ''}", markup=False)
    if not reply["chunks"]:
        out.print("nothing found")
