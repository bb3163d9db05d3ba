"""Two trees made the same."""
