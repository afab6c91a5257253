"""quarry eval: how good searches and answers are, measured over the HTTP API."""
