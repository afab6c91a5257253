"""What keeps the processes in that read uploaded files."""

import asyncio
from collections.abc import Callable, Iterator

from service.doctor.check import Finding, failure, ok, warning
from service.errors import ParserUnavailableError
from service.ingest.parsing.fork_server_process import ForkServerProcess
from service.ingest.parsing.messages import Hello

_ADVICE = (
    "let unprivileged processes make user namespaces: user.max_user_namespaces and, where they exist, "
    "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp "
    "profile that allows unshare; or turn off what else the service can reach"
)


def look_at_parsing(start: Callable[[], ForkServerProcess] = ForkServerProcess) -> Iterator[Finding]:
    """Start the parsers' fork server, and ask it what it could leave behind."""
    try:
        process = start()
        try:
            hello = asyncio.run(process.hello())
        finally:
            process.close()
    except (ParserUnavailableError, OSError) as error:
        yield failure("parsers", f"{error}", "no file but by JSON can be ingested: see what the log says about it")
        return
    yield from _network(hello)
    yield _files(hello)


def _network(hello: Hello) -> Iterator[Finding]:
    if hello.network is None:
        yield ok("parsers' network", "files are read in an empty network namespace")
    else:
        found = f"processes that read files cannot be kept off the network by a namespace: {hello.network}"
        yield warning("parsers' network", found, _ADVICE)


def _files(hello: Hello) -> Finding:
    if hello.landlock:
        return ok("parsers' files", "processes that read files can open no others: Landlock and a limit of descriptors")
    found = "no Landlock here: only a limit of descriptors keeps processes that read files from other files"
    return warning("parsers' files", found, "run Linux 5.13 or later with landlock among its security modules")
