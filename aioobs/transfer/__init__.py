"""Moving files and trees between places."""
