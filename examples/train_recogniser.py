"""Train a recogniser in Keras on captchas in WebDataset shards, and test it on captchas that it has not seen.

docs/datasets.md has the commands. Needs TensorFlow and webdataset. With the usual 900 steps of 64 captchas and its seed
it reads 93.5 % of whole `easy` codes of six characters, after 216 seconds of one core.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

try:
    import keras
    import webdataset
except ModuleNotFoundError as error:
    raise SystemExit(f"error: {error.name} is missing: pip install -r requirements-train.txt webdataset") from error

from gantcha.frames import label_frames

COLUMN = 8  # pixels of a captcha that an output of the recogniser stands for
BATCH = 64
ON_FRAMES = 0.6  # of the steps


class Split:
    """A split in memory: pictures at half the size [N, H, W, 1], codes, and what each column shows [N, columns]."""

    def __init__(self, folder: Path, split: str, alphabet: str = "") -> None:
        shards = sorted(str(path) for path in folder.glob(f"{split}-*.tar"))
        if not shards:
            raise SystemExit(f"error: {folder} has no shards {split}-*.tar: make them as docs/datasets.md says")
        samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("l").to_tuple("png", "json"))
        height, width = (max(picture.shape[axis] for picture, _ in samples) // 2 for axis in (0, 1))
        self.codes = [label["code"] for _, label in samples]
        self.alphabet = alphabet or "".join(sorted(set("".join(self.codes))))  # the recogniser has no other outputs
        self.pictures = np.ones((len(samples), height, width, 1), np.float32)
        columns = -(-2 * width // COLUMN)
        self.frames = np.zeros((len(samples), columns), int)
        for place, (picture, label) in enumerate(samples):
            own = picture[: 2 * height, : picture.shape[1] // 2 * 2].reshape(height, 2, -1, 2).mean((1, 3))
            self.pictures[place, :, : own.shape[1], 0] = own
            labels = label["boxes"], label["characters"], label["crossed_out"]
            self.frames[place] = label_frames(*labels, self.alphabet, columns, COLUMN)

    def padded_codes(self) -> Any:
        """Return the codes as numbers from 1, padded with 0: [N, longest]."""
        longest = max(map(len, self.codes))
        return np.array(
            [[1 + self.alphabet.index(c) for c in code] + [0] * (longest - len(code)) for code in self.codes]
        )


def make_recogniser(height: int, width: int, characters: int) -> keras.Model:
    """Convolutions, then a recurrent layer over the columns: logits [N, columns, 1 + characters]; 0 is the blank."""
    layers = keras.layers
    picture = layers.Input((height, width, 1))
    hidden = picture
    for channels, pool in ((16, (2, 2)), (32, (2, 2)), (64, (2, 1)), (64, (2, 1))):
        hidden = layers.Conv2D(channels, 3, padding="same", use_bias=False)(hidden)
        # With the usual momentum of 0.99 a short training would leave the statistics of its start.
        hidden = layers.ReLU()(
            layers.BatchNormalization(momentum=0.9)(layers.MaxPooling2D(pool, padding="same")(hidden))
        )
    columns = layers.Permute((2, 1, 3))(hidden)
    columns = layers.Reshape((columns.shape[1], columns.shape[2] * columns.shape[3]))(columns)
    columns = layers.Bidirectional(layers.LSTM(96, return_sequences=True))(columns)
    return keras.Model(picture, layers.Dense(1 + characters)(columns))


def ctc(codes: Any, logits: Any) -> Any:
    """Return the CTC loss of codes that are padded with 0."""
    lengths = keras.ops.sum(keras.ops.cast(codes != 0, "int32"), 1)
    columns = keras.ops.full_like(lengths, logits.shape[1])
    return keras.ops.ctc_loss(keras.ops.cast(codes, "int32"), logits, lengths, columns)


def batches(count: int, rng: np.random.Generator) -> Iterator[Any]:
    """Give the numbers of captchas without end, each time in another order."""
    while True:
        yield from rng.permutation(count)[: count // BATCH * BATCH].reshape(-1, BATCH)


def read(recogniser: keras.Model, split: Split) -> list[str]:
    """Take the likeliest at each column, without repetitions and blanks."""
    best = recogniser.predict(split.pictures, batch_size=256, verbose=0).argmax(2)
    kept = (best != 0) & (best != np.pad(best, ((0, 0), (1, 0)))[:, :-1])
    return ["".join(split.alphabet[n - 1] for n in row[keep]) for row, keep in zip(best, kept, strict=True)]


def main() -> None:
    """Train, print what is read of captchas that it has not seen, and keep the best recogniser."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path, help="folder of WebDataset shards with the splits train and val")
    parser.add_argument("--steps", type=int, default=900, help="of 64 captchas")
    parser.add_argument("--out", type=Path, default=Path("solver.keras"), help="the best recogniser")
    parser.add_argument("--resume", type=Path, help="go on from this file, NAME.keras, which is written as it goes")
    options = parser.parse_args()
    keras.utils.set_random_seed(1)
    learnt = Split(options.dataset, "train")
    unseen = Split(options.dataset, "val", learnt.alphabet)
    codes = learnt.padded_codes()
    recogniser = make_recogniser(*learnt.pictures.shape[1:3], len(learnt.alphabet))
    warm = options.steps // 4
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, options.steps - warm, warmup_target=2e-3, warmup_steps=max(warm, 1)
    )
    optimizer = keras.optimizers.AdamW(rate, 0.01, global_clipnorm=5.0)
    frame_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    state, done, best = options.resume and options.resume.with_suffix(".json"), 0, -1.0
    if state and state.exists():
        done, best = json.loads(state.read_text())
        recogniser = keras.models.load_model(options.resume, custom_objects={"ctc": ctc})
        optimizer = recogniser.optimizer
    started = time.process_time()
    order = batches(len(codes), np.random.default_rng([1, done]))
    for step in range(done + 1, options.steps + 1):
        on_frames = step <= ON_FRAMES * options.steps
        if step in (done + 1, int(ON_FRAMES * options.steps) + 1):
            recogniser.compile(optimizer, frame_loss if on_frames else ctc, jit_compile=False)
        chosen = next(order)
        labels = learnt.frames if on_frames else codes
        loss = recogniser.train_on_batch(learnt.pictures[chosen], labels[chosen])
        if step % 100 == 0 or step == options.steps:
            right = [given == meant for given, meant in zip(read(recogniser, unseen), unseen.codes, strict=True)]
            share = sum(right) / len(right)
            seconds = time.process_time() - started
            print(f"step {step}: loss {loss:.3f}, {share:.1%} of unseen codes, {seconds:.0f} s", flush=True)
            if share > best:
                best = share
                recogniser.save(options.out)
            if state:
                recogniser.save(options.resume)
                state.write_text(json.dumps([step, best]))
    print(f"{options.out} reads {best:.1%} of {len(unseen.codes)} unseen codes")


if __name__ == "__main__":
    main()
