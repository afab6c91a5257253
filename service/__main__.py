"""``python -m service`` is the quarry command."""

from service.cli import main

main()
