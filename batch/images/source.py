"""Training images from the folder or file that `--data` names."""

from pathlib import Path

from batch.images.emnist import find_emnist, read_emnist
from batch.images.folder import find_images, read_folder
from batch.images.labelled import ImagesError, LabelledImages, Split
from gantcha.alphabet import GlyphClasses


def read_images_of(classes: GlyphClasses, folder: Path, split: Split) -> LabelledImages:
    """Read images of just these classes. Raises ImagesError as `read_images`, and for images of other classes."""
    labelled = read_images(folder, split)
    if labelled.classes.symbols != classes.symbols:
        raise ImagesError(f"{folder} has images of other classes than the generators draw: name what they learnt from")
    return labelled


def read_images(folder: Path, split: Split) -> LabelledImages:
    """Read the images of the folder's sub-folders, unless it has EMNIST's files or no such images.

    Raises:
        ImagesError: says which file is wrong and how.
    """
    if find_emnist(folder, split) or not find_images(folder):
        return read_emnist(folder, split)
    return read_folder(folder, split)
