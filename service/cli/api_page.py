"""Writes the page: ``python -m service.cli.api_page docs/reference/api.md``."""

import sys
from pathlib import Path

from service.api.description.document import describe
from service.api.description.page import markdown
from service.app import create_app
from service.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    Path(sys.argv[1]).write_text(markdown(describe(create_app(settings), settings)))
