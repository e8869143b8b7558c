"""The second tier: tests that need minutes."""
