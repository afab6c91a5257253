"""quarry bench gpu-search."""
