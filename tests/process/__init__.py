"""Tests with processes of ours, databases and installed packages."""
