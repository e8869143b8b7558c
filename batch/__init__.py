"""The drawing side: from EMNIST files to trained generators, and from generators to PNGs in the pool."""
