"""Tests without processes of ours."""
