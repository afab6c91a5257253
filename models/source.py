"""SentenceSource: where the modules of a sentence model come from, and what its folder declares beside them."""

from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from models import bundled
from models.manifest import Manifest


class SentenceSource(Protocol):
    """A folder that has been read."""

    @property
    def reference(self) -> nn.Sequential:
        """The modules in float32, a transformer first, with which every faster form is compared."""

    @property
    def manifest(self) -> Manifest:
        """What is declared beside the weights."""

    def load(self, dtype: torch.dtype) -> nn.Sequential:
        """The modules in another precision, in evaluation mode."""


def open_source(folder: Path, fingerprint: str, device: str) -> SentenceSource:
    """The bundled model is read by our own code; any other folder by the library that defines the format.

    Args:
        fingerprint: of ``folder``; a changed file makes it another folder.

    Raises:
        UnsupportedModelError: the folder cannot be read, or needs what is not served.
        DeviceMemoryError, DeviceLostError: of ``device``.
    """
    if fingerprint == bundled.FINGERPRINT:
        return bundled.BundledModel(folder, device)
    from models.library_folder import LibraryFolder  # noqa: PLC0415  half of a start, and other folders only

    return LibraryFolder(folder, device)
