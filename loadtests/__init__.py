"""Loads on a running server, over HTTP only: nothing here imports models, indexes or what a server is made of.

Of `service.cli` it takes what measurements share: servers of one's own, the standard library's documentation, pages.
"""
