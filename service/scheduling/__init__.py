"""Which texts go into the next forward. Pure: no threads, no clock of its own, no models."""
