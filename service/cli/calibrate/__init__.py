"""quarry calibrate: from which confidence on quotes are an answer, chosen for a collection by questions."""
