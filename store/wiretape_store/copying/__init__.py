"""Taking recordings from store to store, and comparing both."""
