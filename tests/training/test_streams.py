"""The samples that TensorFlow and PyTorch get."""

from itertools import islice

import numpy as np
import pytest

import gantcha


def test_tensorflow_gets_the_same_pictures() -> None:
    import tensorflow as tf  # noqa: PLC0415 - the other tests need not wait for it

    from gantcha.tensorflow import dataset  # noqa: PLC0415

    ours = list(islice(gantcha.samples(seed=3, length=(4, 8), worker=1, workers=2), 40))
    for (picture, code), sample in zip(dataset(1, 2, seed=3, length=(4, 8)), ours, strict=False):
        assert code.numpy().decode() == sample.code
        assert np.array_equal(picture.numpy()[:, :, 0], sample.picture)
    assert np.array_equal(tf.io.decode_png(ours[0].png).numpy()[:, :, 0], ours[0].picture)


def test_pytorch_gets_each_sample_once() -> None:
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed (pip install torch)")
    from gantcha.pytorch import CaptchaDataset  # noqa: PLC0415

    stream = CaptchaDataset(lambda sample: sample.index, seed=3)
    found = [int(index) for batch in islice(data.DataLoader(stream, 25, num_workers=2), 20) for index in batch]
    assert sorted(found) == list(range(500))
