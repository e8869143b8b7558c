"""Where the PNGs lie: a folder or a bucket, and files that are there whole or not at all."""
