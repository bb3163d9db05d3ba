"""Connections, and requests and answers on them."""
