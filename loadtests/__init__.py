"""Loads on a running server, over HTTP only: nothing here imports service, models or indexes."""
