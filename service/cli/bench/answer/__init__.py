"""Measurements of an answer through a language model's server."""
