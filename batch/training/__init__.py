"""From EMNIST files to checkpoints: the GAN and the legibility filter."""
