"""Everything that a node without a network needs to run Quarry, in one file: ``python -m deploy.bundle``."""
