"""Text in, vectors out: the room that owns torch and knows no HTTP, settings or metrics."""
