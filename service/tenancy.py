"""Tenancy: who may share what a model server remembers of earlier prompts."""


def tenant_of(collection: str, realm: str) -> str:
    """The tenant of a question, by the collection's own name and its realm.

    Neither the passages of a collection nor what another caller asked may be guessed from the time of an answer.
    """
    return f"{realm}/collection:{collection}" if realm else f"collection:{collection}"
