"""Copies that are shared with other processes and other machines."""
