"""What it costs that a server is safe to expose, and how fast it says no."""
