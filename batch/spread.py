"""Choose the latent scale of each class: `python -m batch.spread`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TimeRemainingColumn

from batch.evaluation import CACHE_DIR
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from batch.images.source import read_images_of
from batch.packages import training_packages
from batch.progress import progress_bar
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR


def main(
    data: Annotated[Path, typer.Option(help="What the generators were trained on.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the generators.")] = DEFAULT_CHECKPOINTS_DIR,
    record: Annotated[
        bool, typer.Option("--record", help="Write the scales to the manifest of the generators.")
    ] = False,
    per_class: Annotated[int, typer.Option(min=20, help="Glyphs a class; fewer are quicker and tell less.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained reference classifier.")] = CACHE_DIR,
) -> None:
    """Choose the latent scale of each class: the standard deviation of its latents, which is 1 in training.

    Wider latents give more varied glyphs, until they no longer look like handwriting: the opposite of the truncation
    of Brock et al. 2019. Glyphs are compared with the images for training, so that those for testing stay unseen.

    \b
    Example:
        python -m batch.spread --data emnist --checkpoints trained --record
    """
    with one_line_errors():
        with training_packages():
            from batch.evaluation.judge import ReferenceClassifier
            from batch.evaluation.latent_scale import LATENT_SCALES, choose_latent_scales
        folder = Checkpoints(checkpoints)
        sampler = Sampler(folder)
        train = read_images_of(sampler.classes, data, "train")
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("reference classifier", total=1)
            judge = ReferenceClassifier.cached(train, cache, lambda share: progress.advance(bar, share))
            chosen = choose_latent_scales(
                sampler, judge, train, per_class, seed, lambda scales: progress.track(scales, description="scales")
            )
        if record:
            manifest = folder.manifest()
            for name, scale in chosen.items():
                manifest["classes"][name]["latent_scale"] = scale
                manifest["classes"][name].pop("metrics", None)  # of glyphs drawn with another scale
            manifest.pop("evaluation", None)
            folder.write_manifest(manifest)
    for scale in LATENT_SCALES:
        print(f"{scale}: {', '.join(name for name in chosen if chosen[name] == scale)}")


if __name__ == "__main__":
    typer.run(main)
