"""Credentials, and how requests are signed with them."""
