"""The oracle: what SentenceTransformer itself makes of texts, in float32."""

from collections.abc import Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from models.base import Vectors
from models.loading import find_model


def reference_vectors(name: str, texts: Sequence[str]) -> Vectors:
    """``(n, dimension)`` unit vectors of documents, slowly, on the CPU.

    Raises:
        ModelNotFoundError, UnsafeModelError, UnsupportedModelError: see ``find_model``.
    """
    model = SentenceTransformer(str(find_model(name)), device="cpu", trust_remote_code=False, local_files_only=True)
    vectors = model.encode_document(list(texts), normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)
