"""How many files this process may open: connections are files, and so are collections."""

import resource


def raise_open_files() -> None:
    """Take all that the system grants; a shell's default is a fraction of it, for the sake of old programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
