"""The drawing side: from EMNIST files to trained generators, and from generators to PNGs in the pool.

Commands, and what they stand on:

- `fill`, `sample` and `dataset` draw. Codes: `alphabet`; glyphs: `checkpoints`, `architecture`, `inference`, `sampler`;
  pictures: `look`, `lines`, `easing`, `render`, `encode`; all of it: `drawing`, `captcha`; side by side: `engines`.
- `train` and `spread` make generators: `emnist`, `shapes`, `augment`, `networks`, `gan`, `folded`, `workers`, `reader`.
- `evaluate`, `strength` and `readability` measure: `metrics`, `recogniser`, `attackers`, `solver`.
- `processes`, `progress` and `quiet_tensorflow` serve them all.
"""
