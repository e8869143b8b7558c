"""From codes to PNGs: glyphs set in lines, bent, crossed, put on paper and encoded, in workers."""
