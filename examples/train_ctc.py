"""Train a reader of captchas of 4 to 8 characters in PyTorch with CTC, on captchas that are drawn while it trains.

Needs PyTorch: pip install torch.
"""

import argparse
import time
from itertools import islice
from pathlib import Path

try:
    import torch
except ModuleNotFoundError as error:
    raise SystemExit("error: PyTorch is missing: pip install torch") from error
from torch import nn
from torch.utils.data import DataLoader

from gantcha import Captcha
from gantcha.pytorch import CaptchaDataset

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
HEIGHT, WIDTH = 60, 200  # half of a picture of 8 characters


def prepare(captcha: Captcha) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return ink at half the size, padded to one width; the code as numbers from 1, padded with 0; and its length."""
    ink = 1 - torch.from_numpy(captcha.picture)[None] / 255
    half = nn.functional.avg_pool2d(ink, 2)
    code = [1 + ALPHABET.index(character) for character in captcha.code]
    padded = nn.functional.pad(half, (0, WIDTH - half.shape[2]))
    return padded, torch.tensor(code + [0] * (8 - len(code))), len(code)


def make_reader() -> nn.Module:
    """Convolutions, then a recurrent layer over the columns: logits [N, 50, 37], of which 0 is the blank of CTC."""
    layers: list[nn.Module] = []
    channels = 1
    for more, pool in ((16, 2), (32, 2), (64, (2, 1)), (64, (2, 1))):
        layers += [nn.Conv2d(channels, more, 3, padding=1), nn.BatchNorm2d(more), nn.ReLU(), nn.MaxPool2d(pool)]
        channels = more
    return Reader(nn.Sequential(*layers))


class Reader(nn.Module):
    """See `make_reader`."""

    def __init__(self, convolutions: nn.Module) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.recurrent = nn.LSTM(64 * (HEIGHT // 16), 96, bidirectional=True, batch_first=True)
        self.logits = nn.Linear(192, 1 + len(ALPHABET))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits of pictures [N, 1, 60, 200]."""
        columns = self.convolutions(pictures).permute(0, 3, 1, 2).flatten(2)
        return self.logits(self.recurrent(columns)[0])


def read(reader: nn.Module, pictures: torch.Tensor) -> list[str]:
    """Take the likeliest at each column, without repetitions and blanks."""
    reader.eval()
    with torch.no_grad():
        best = reader(pictures).argmax(2)
    kept = (best != 0) & (best != nn.functional.pad(best, (1, 0))[:, :-1])
    return ["".join(ALPHABET[number - 1] for number in row[keep]) for row, keep in zip(best, kept, strict=True)]


def main() -> None:
    """Train, keep the reader, and print the share of codes it reads of a stream it has not seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=3000, help="of 64 captchas")
    parser.add_argument("--difficulty", default="easy")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--out", type=Path, default=Path("reader.pt"))
    options = parser.parse_args()
    torch.manual_seed(1)

    def batches(seed: int, workers: int) -> DataLoader[tuple[torch.Tensor, torch.Tensor, int]]:
        stream = CaptchaDataset(prepare, seed=seed, length=(4, 8), difficulty=options.difficulty)
        return DataLoader(stream, batch_size=64, num_workers=workers)

    reader = make_reader()
    optimizer = torch.optim.AdamW(reader.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, options.steps)
    started = time.monotonic()
    for step, (pictures, codes, lengths) in enumerate(islice(batches(1, options.workers), options.steps), 1):
        logits = reader.train()(pictures).log_softmax(2).transpose(0, 1)
        columns = torch.full((len(codes),), len(logits))
        loss = nn.functional.ctc_loss(logits, codes, columns, lengths, zero_infinity=True)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 5)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(
                f"step {step}: loss {loss.item():.3f}, {step * 64 / (time.monotonic() - started):.0f} a second",
                flush=True,
            )
    torch.save(reader.state_dict(), options.out)
    right = total = 0
    for pictures, codes, lengths in islice(batches(2, options.workers), 8):
        truth = ["".join(ALPHABET[n - 1] for n in code[:length]) for code, length in zip(codes, lengths, strict=True)]
        right += sum(map(str.__eq__, truth, read(reader, pictures)))
        total += len(truth)
    print(f"{options.out} reads {right / total:.1%} of {total} unseen codes")


if __name__ == "__main__":
    main()
