"""Choose how wide each class draws its latents: `python -m batch.spread`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import TimeRemainingColumn

from batch.alphabet import GLYPH_CLASSES
from batch.checkpoints import Checkpoints
from batch.emnist import read_emnist
from batch.evaluate import CACHE
from batch.metrics import frechet_distance
from batch.progress import progress_bar
from batch.quiet_tensorflow import require_tensorflow
from batch.recogniser import FOLDED_OF_CLASS, Recogniser
from batch.sampler import Sampler
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR

_SPREADS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
_FURTHER = 1.2  # so many times the least Frechet distance is a price worth paying for variety
_LESS_LEGIBLE = 0.028  # and so much of legibility


def widest(distances: Sequence[float], legibilities: Sequence[float]) -> float:
    """Choose the widest of the spreads that is nearly as near to real images, and as legible, as the best."""
    near = [distance <= _FURTHER * min(distances) for distance in distances]
    legible = [legibility >= max(legibilities) - _LESS_LEGIBLE for legibility in legibilities]
    return max((spread for spread, *fits in zip(_SPREADS, near, legible, strict=True) if all(fits)), default=1.0)


def main(
    data: Annotated[Path, typer.Option(help="Folder of the official EMNIST ByMerge files (gzip IDX).")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the generators.")] = DEFAULT_CHECKPOINTS_DIR,
    record: Annotated[
        bool, typer.Option("--record", help="Write the spreads to the manifest of the generators.")
    ] = False,
    per_class: Annotated[int, typer.Option(min=100, help="Glyphs a class; fewer are quicker and tell less.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained recogniser.")] = CACHE,
) -> None:
    """Choose for each class how many times wider than in training its latents are drawn.

    Wider latents give more various glyphs, until they no longer look like handwriting: the opposite of the truncation
    of Brock et al. 2019. Images of EMNIST train are the measure, so that the test images stay unseen.

    \b
    Example:
        python -m batch.spread --data emnist --checkpoints trained --record
    """
    with one_line_errors():
        require_tensorflow()
        folder = Checkpoints(checkpoints)
        sampler, train = Sampler(folder), read_emnist(data, "train")
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), per_class)
        rng = np.random.default_rng(seed)
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("recogniser", total=1)
            recogniser = Recogniser.cached(train, cache, lambda share: progress.advance(bar, share))
            reals = [
                recogniser.judge(rng.permutation(train.images[train.labels == c.index])[:per_class]).features
                for c in GLYPH_CLASSES
            ]
            distances, legibilities = [], []
            for spread in progress.track(_SPREADS, description="spreads"):
                judged = recogniser.judge(sampler.draw(labels, rng, spread))
                fakes = judged.features.reshape(len(GLYPH_CLASSES), per_class, -1)
                distances.append([frechet_distance(real, fake) for real, fake in zip(reals, fakes, strict=True)])
                right = FOLDED_OF_CLASS[judged.classes] == FOLDED_OF_CLASS[labels]
                legibilities.append(right.reshape(len(GLYPH_CLASSES), per_class).mean(1))
        manifest = folder.manifest()
        for c, *measured in zip(GLYPH_CLASSES, np.transpose(distances), np.transpose(legibilities), strict=True):
            manifest["classes"][c.name]["latent_spread"] = widest(*measured)
        manifest.pop("evaluation", None)  # it was of other glyphs
        if record:
            folder.write_manifest(manifest)
    for spread in _SPREADS:
        names = [c.name for c in GLYPH_CLASSES if manifest["classes"][c.name]["latent_spread"] == spread]
        print(f"{spread}: {', '.join(names)}")


if __name__ == "__main__":
    typer.run(main)
