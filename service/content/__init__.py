"""What may be asked and answered: the seam, and its implementation by rules of a file."""
