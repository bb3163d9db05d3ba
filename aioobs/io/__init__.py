"""Objects opened as files."""
