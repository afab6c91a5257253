"""What several processes share by way of a Redis or Valkey server, which may be lost at any time."""
