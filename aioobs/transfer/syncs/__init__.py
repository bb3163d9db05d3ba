"""Syncs: one tree made the same as another."""
