"""How near generated glyphs are to real ones, and how well machines read captchas."""
