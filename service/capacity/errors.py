"""What can be wrong with the input of a plan.

CapacityError
├── SizeError                 a number or a size that is none, or is beyond reason
├── ModelConfigError          a config.json that cannot be read, or lacks a field
├── UnknownArchitectureError  a model whose weights no formula here counts
└── PlacementError            tenants that cannot be spread over the cards
"""


class CapacityError(Exception):
    """The plan cannot be made; the message names the value, and what to give instead."""


class SizeError(CapacityError):
    """A number or a size that is none, or is beyond reason."""


class ModelConfigError(CapacityError):
    """A config.json that cannot be read, lacks a field, or has a value that cannot be one."""


class UnknownArchitectureError(CapacityError):
    """A model whose weights no formula here counts."""


class PlacementError(CapacityError):
    """Tenants that cannot be spread over the cards as asked."""
