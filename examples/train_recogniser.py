"""Train a CNN solver on captchas in WebDataset shards, and test it on captchas it has not seen.

docs/datasets.md has the commands. Needs TensorFlow and webdataset; about six minutes on two cores.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

try:
    import keras
    import webdataset
except ModuleNotFoundError as error:
    raise SystemExit(f"error: {error.name} is missing: pip install -r requirements-train.txt webdataset") from error

CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
BLANK = len(CHARACTERS)  # after the last character of a code that is shorter than others


def load(folder: Path, split: str) -> tuple[list[Any], list[list[int]]]:
    """Read a split into memory: for each captcha brightness at half the size [H, W] in 0..1, and its characters."""
    shards = sorted(str(path) for path in folder.glob(f"{split}-*.tar"))
    if not shards:
        raise SystemExit(f"error: {folder} has no shards {split}-*.tar: make them as docs/datasets.md says")
    pictures, codes = [], []
    for picture, label in webdataset.WebDataset(shards, shardshuffle=False).decode("l").to_tuple("png", "json"):
        height, width = (side // 2 for side in picture.shape)
        pictures.append(picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3)))
        codes.append([CHARACTERS.index(character) for character in label["code"]])
    return pictures, codes


def as_arrays(pictures: list[Any], codes: list[list[int]], width: int, length: int) -> tuple[Any, Any]:
    """Return pictures [N, H, W, 1], padded with their edge, and characters [N, length], padded with blanks."""
    padded = [np.pad(picture, ((0, 0), (0, width - picture.shape[1])), "edge") for picture in pictures]
    characters = [code + [BLANK] * (length - len(code)) for code in codes]
    return np.array(padded, np.float32)[..., None], np.array(characters)


def make_solver(height: int, width: int, length: int) -> keras.Model:
    """Convolutions over the whole picture, then a prediction for each position."""
    layers = keras.layers
    picture = layers.Input((height, width, 1))
    hidden = picture
    for channels in (24, 48, 96, 128):
        hidden = layers.Conv2D(channels, 3, padding="same", use_bias=False)(hidden)
        hidden = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    hidden = layers.Dropout(0.3)(layers.Flatten()(hidden))
    positions = layers.Reshape((length, BLANK + 1))(layers.Dense(length * (BLANK + 1))(hidden))
    return keras.Model(picture, positions)


def main() -> None:
    """Train, and print the shares of characters and of whole codes that are read correctly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path, help="folder of WebDataset shards with the splits train and val")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("solver.keras"), help="file to keep the solver in")
    options = parser.parse_args()
    keras.utils.set_random_seed(1)
    splits = [load(options.dataset, split) for split in ("train", "val")]
    width = max(picture.shape[1] for pictures, _ in splits for picture in pictures)
    length = max(len(code) for _, codes in splits for code in codes)
    (pictures, codes), (unseen, truth) = (as_arrays(*split, width, length) for split in splits)
    solver = make_solver(*pictures.shape[1:3], length)
    steps = options.epochs * -(-len(pictures) // 64)
    solver.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    solver.fit(pictures, codes, batch_size=64, epochs=options.epochs, verbose=2)
    solver.save(options.out)
    right = solver.predict(unseen, verbose=0).argmax(-1) == truth
    characters, codes = right[truth != BLANK].mean(), right.all(1).mean()
    print(f"of {len(truth)} unseen captchas {characters:.1%} of the characters, {codes:.1%} whole codes")


if __name__ == "__main__":
    main()
