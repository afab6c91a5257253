"""What questions found, remembered for as long as nothing of it can have changed: which rows, and no text."""
