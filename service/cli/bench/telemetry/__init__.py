"""What telemetry costs: the same searches with it and without."""
