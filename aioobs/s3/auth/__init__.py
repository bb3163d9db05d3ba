"""Who asks: credentials, and how requests are signed with them."""
