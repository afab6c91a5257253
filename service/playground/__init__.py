"""The playground as a browser runs it: a page, its style, its modules. ``service/api/playground.py`` serves them."""
