"""Handwritten captchas from Python: `draw` a code, or take as many labelled `samples` as you like.

    import gantcha

    sample = gantcha.draw("ab12")
    for sample in gantcha.samples(seed=1, length="4-8", mix="easy=0.5,hard=0.5"):
        ...

`gantcha.pytorch` and `gantcha.tensorflow` give the samples to those libraries.
"""

from gantcha.sampling import GantchaError, Sample, draw, samples

__all__ = ["GantchaError", "Sample", "draw", "samples"]
