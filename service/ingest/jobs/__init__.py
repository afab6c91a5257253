"""Work that outlives its request, and its process: accepted when durable, carried out in the background."""
