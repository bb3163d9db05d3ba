"""One request to one store."""
