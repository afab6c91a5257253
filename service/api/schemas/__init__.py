"""The wire types, a file for each noun. Requests refuse unknown fields and never convert types."""
