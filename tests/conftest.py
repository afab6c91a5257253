"""What tests of several rooms share."""

import os

# Read by huggingface_hub when it is imported, so it is set before anything here imports it.
os.environ["HF_HUB_OFFLINE"] = "1"

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from models.transformer import TransformerEmbedder


@pytest.fixture(scope="session")
def embedder() -> "TransformerEmbedder":
    """The bundled all-MiniLM-L6-v2, as a default installation serves it."""
    from models.transformer import TransformerEmbedder  # noqa: PLC0415  torch loads only where it is used

    return TransformerEmbedder.load("all-MiniLM-L6-v2")
