"""The process: concurrency, HTTP, configuration."""
