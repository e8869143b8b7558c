"""Tests of the widget in three engines."""
