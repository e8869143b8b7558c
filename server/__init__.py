"""The HTTP side: pops ready captchas and serves their PNGs; draws nothing and imports no TensorFlow."""
