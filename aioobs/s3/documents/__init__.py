"""What stores write and read: XML, and the pages of listings."""
