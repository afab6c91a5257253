"""What runs Quarry elsewhere."""
