"""Copies that other processes, and other machines, help with."""
