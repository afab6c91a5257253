"""The extra that measuring takes, as a server needs none of its libraries."""

from importlib import import_module

from service.cli.console import fail

MATPLOTLIB, PYTREC_EVAL = "matplotlib", "pytrec_eval"


def require(*libraries: str) -> None:
    """End the command where one is not installed."""
    for library in libraries:
        try:
            import_module(library)
        except ModuleNotFoundError as error:
            if error.name != library:
                raise
            fail(f"{library} is not installed; pip install '.[eval]' brings it")
