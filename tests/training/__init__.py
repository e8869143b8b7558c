"""Tests that need TensorFlow: training, and what measures with trained networks."""
