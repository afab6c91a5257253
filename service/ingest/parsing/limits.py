"""ParseLimits: what the reading of one file may take."""

from dataclasses import dataclass

from service.errors import DocumentTooLargeError


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What one child may take, and what may come out of it.

    Attributes:
        cpu_seconds: of its process.
        memory_bytes: of address space beyond what it is born with.
        expanded_bytes: of all members of an archive together.
        members: of an archive.
        pages: of a paged document.
        characters: of the text.
    """

    cpu_seconds: int
    memory_bytes: int
    expanded_bytes: int
    members: int
    pages: int
    characters: int

    def check_characters(self, name: str, characters: int) -> None:
        """Raises: DocumentTooLargeError, if there are more than wanted."""
        if characters > self.characters:
            raise DocumentTooLargeError(
                f"{name!r} has more than {self.characters} characters of text (limits.document_characters)"
            )
