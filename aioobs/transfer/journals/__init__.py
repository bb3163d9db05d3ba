"""Journals, by which a copy continues where an earlier run was interrupted."""
