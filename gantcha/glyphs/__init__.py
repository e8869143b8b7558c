"""Trained generators and the legibility filter: their files, and glyphs drawn with them."""
