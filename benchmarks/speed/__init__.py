"""How fast: `python -m benchmarks.speed`, and other generators of text images."""
