"""Template: pages of HTML that load nothing, and where they go."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from service.cli.console import fail


def rendered(name: str, filters: dict[str, Callable[..., str]], **values: object) -> str:
    """A template below ``service/cli`` with these values, which are escaped."""
    environment = Environment(
        loader=PackageLoader("service.cli", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= filters
    return environment.get_template(name).render(**values)


def drawing(svg: str) -> Markup:
    """What the plots made; their texts were escaped when they were drawn."""
    return Markup(svg)  # noqa: S704  as said


def require_folder(html: Path | None) -> None:
    """End the command where the page could not be written after all was measured."""
    if html is not None and not html.parent.is_dir():
        fail(f"--html {html}: no such folder")


def write_page(html: Path, page: str) -> None:
    """Write it, or say why that cannot be."""
    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        fail(f"--html {html}: {error.strerror}")
