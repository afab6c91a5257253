"""Tenancy: who may share what a model server remembers of earlier prompts."""


def tenant_of(collection: str) -> str:
    """The tenant of a question, by the collection's own name: its passages may not be guessed from another's timing."""
    return f"collection:{collection}"
