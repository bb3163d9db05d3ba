"""What shows and measures the library: `make demo` and `make bench`."""
