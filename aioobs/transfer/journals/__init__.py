"""Copies that go on where an earlier run was interrupted."""
