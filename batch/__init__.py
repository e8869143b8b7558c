"""The drawing side: from EMNIST files to trained generators, and from generators to PNGs in the pool."""

import os

# TensorFlow reports on its graph optimiser as if that were the user's error; its exceptions tell enough.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
