"""The documents of the protocol: XML, and the pages of listings."""
