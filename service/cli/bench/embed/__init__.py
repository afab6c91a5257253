"""quarry bench embed: the engine against the bare model, in one process and one run."""
