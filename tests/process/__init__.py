"""Tests of real processes: servers, fills, commands, and databases."""
