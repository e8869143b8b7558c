"""The drawing side: from images of handwriting to trained generators, and from generators to PNGs in the pool.

Imports go down this list, and never between two folders of one line:

- Commands, which nothing imports: `fill`, `train`, `sample`, `spread`, `evaluate`, `strength`, `readability`,
  `frontier`, `reference_set`, `dataset` (its preview); and `captcha`, the same for Python.
- `datasets` writes labelled captchas; `attacks` reads captchas as machines do.
- `evaluation` measures glyphs.
- `drawing` makes captchas of glyphs; `training` makes the generators.
- `glyphs` draws glyphs with the trained generators.
- `images` reads EMNIST's files and folders of images.
- `alphabet`, `packages`, `processes`, `progress` and `sheets` serve them all.
"""
