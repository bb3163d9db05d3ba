"""Copying, moving, comparing files and trees."""
