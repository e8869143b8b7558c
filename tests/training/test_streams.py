"""The samples that TensorFlow and PyTorch get."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import gantcha
from gantcha.drawing.look import LOOKS
from gantcha.stream import EPOCH


def test_tensorflow_gets_the_same_pictures() -> None:
    import tensorflow as tf  # noqa: PLC0415 - the other tests need not wait for it

    from gantcha.tensorflow import dataset  # noqa: PLC0415

    ours = list(islice(gantcha.samples(seed=3, length=(4, 8), worker=1, workers=2), 40))
    for (picture, code), sample in zip(dataset(1, 2, seed=3, length=(4, 8)), ours, strict=False):
        assert code.numpy().decode() == sample.code
        assert np.array_equal(picture.numpy()[:, :, 0], sample.picture)
    assert np.array_equal(tf.io.decode_png(ours[0].png).numpy()[:, :, 0], ours[0].picture)


def test_each_epoch_of_tensorflow_has_other_samples() -> None:
    from gantcha.tensorflow import dataset  # noqa: PLC0415

    stream = dataset(seed=3)
    first, second = ([code.numpy() for _, code in stream.take(20)] for _ in range(2))
    assert not set(first) & set(second)
    again = dataset(seed=3)
    assert [[code.numpy() for _, code in again.take(20)] for _ in range(2)] == [first, second]
    with pytest.raises(TypeError, match="lenght"):
        dataset(lenght=4)
    for fault in (
        {"seed": -1},
        {"seed": 0.5},
        {"seed": "1"},
        {"workers": 0},
        {"worker": 1},
        {"pattern": "a", "length": 3},
    ):
        with pytest.raises(gantcha.GantchaError, match=f"^{next(iter(fault))} "):
            dataset(**fault)


_RANK = """
import sys
from itertools import islice
import torch
from gantcha.pytorch import CaptchaDataset

def number_of(sample):
    return sample.index

if __name__ == "__main__":
    rank, ranks, context, group = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    if group:
        torch.distributed.init_process_group("gloo", init_method=f"file://{group}", rank=rank, world_size=ranks)
    stream = CaptchaDataset(number_of, seed=3)
    for persistent in (False, True):
        options = dict(num_workers=2, multiprocessing_context=context, persistent_workers=persistent)
        loader = torch.utils.data.DataLoader(stream, 25, **options)
        for _ in range(2):
            print(*(int(number) for batch in islice(loader, 10) for number in batch))
"""
"""What each process of a training prints: the numbers of its samples, an epoch a line."""


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("is_group", [True, False])
def test_processes_and_workers_of_pytorch_share_a_stream(tmp_path: Path, context: str, is_group: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    (tmp_path / "rank.py").write_text(_RANK)
    group = str(tmp_path / "group") if is_group else ""
    ranks = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "rank.py"), str(rank), "2", context, group],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RANK": str(rank), "WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [rank.communicate(timeout=300)[0].splitlines() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    for epoch, lines in enumerate(zip(*printed, strict=True)):
        drawn = sorted(int(number) for line in lines for number in line.split())
        assert drawn == [epoch * EPOCH + number for number in range(500)]


def test_what_pytorch_can_batch() -> None:
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed (pip install torch)")
    from gantcha.pytorch import CaptchaDataset, collate  # noqa: PLC0415

    stream = CaptchaDataset(seed=3, length=(4, 8))
    pictures, codes = next(iter(data.DataLoader(stream, 25, collate_fn=collate)))
    assert pictures.shape[:3] == (25, 1, LOOKS["plain"]["standard"].height)
    assert pictures.shape[3] == LOOKS["plain"]["standard"].width(8)
    assert {len(code) for code in codes} == {4, 5, 6, 7, 8}
    stream.set_epoch(5)
    assert next(iter(CaptchaDataset(lambda sample: sample.index, seed=3, start=7))) == 7
    for fault in ({"lenght": 4}, {"seed": -1}, {"seed": 0.5}, {"length": (4, 99)}, {"pattern": "a", "length": 3}):
        with pytest.raises((TypeError, gantcha.GantchaError)):
            CaptchaDataset(**fault)
