"""Images to train on: EMNIST, or a folder of one's own."""
