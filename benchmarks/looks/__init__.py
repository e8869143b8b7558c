"""How readable looks are, and the search for better ones."""
