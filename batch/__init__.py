"""The jobs: captchas into the pool or a dataset, and from images of handwriting to trained generators.

Imports go down this list, and never between two modules of one line:

- Commands, which nothing imports: `fill`, `train`, `sample`, `evaluate`, `reference_set`, `preview`; and `captcha`, the
  same for Python under the original's names.
- `datasets` writes labelled captchas; `baseline` is the recogniser that the reference set is measured with.
- `evaluation` measures glyphs; `recogniser` reads captchas.
- `workers` draws captchas in processes or on a Ray cluster; `training` makes the generators; `ctc` decodes what a
  recogniser puts out.
- `images` reads EMNIST's files and folders of images.
- `noise`, `packages`, `processes`, `progress` and `sheets` serve them all.

The engine that draws lies below, in the package gantcha; what measures captchas and us, in the folder benchmarks.
"""
