"""OCR networks that are told our alphabet and how many characters there are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, SessionOptions
from scipy.special import softmax

from batch.ctc import Decoded, LogProbabilities, decode
from benchmarks.strength.preprocessing import Pictures

_THREADS = 2
_LEAST = 1e-9  # no character is impossible
CUTS = {"": None, ", rows cut at 42 %": 0.42, ", rows cut at 50 %": 0.5, ", rows cut at 58 %": 0.58}
"""Where a picture is cut into two rows, as shares of its height; None leaves it whole."""


class OcrNetwork:
    """A CTC network out of an OCR package, of whose characters only those of an alphabet count."""

    def __init__(self, session: InferenceSession, characters: list[str], alphabet: str, height: int) -> None:
        """`characters` are the network's, the blank left out; `height` is that of the pictures it was trained on."""
        self._session, self._height = session, height
        (self._input,) = session.get_inputs()
        symbols = ["", *sorted(set(alphabet))]
        meant = np.array([[c.lower() == symbol for symbol in symbols] for c in ["", *characters]])
        self._columns = np.flatnonzero(meant.any(1))
        self._merge = meant[self._columns].astype(np.float32)

    def log_probabilities(self, pictures: Pictures) -> LogProbabilities:
        """Return the probabilities of the blank and of the alphabet's characters in each column of the pictures."""
        with ThreadPoolExecutor(_THREADS) as pool:
            kept = np.stack(list(pool.map(self._run, pictures))) @ self._merge
        floor = np.float32(_LEAST)
        logarithms: LogProbabilities = np.log(kept / (kept.sum(2, keepdims=True) + floor) + floor)
        return logarithms

    def _run(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        width = round(picture.shape[1] * self._height / picture.shape[0])
        resized = cv2.resize(picture, (width, self._height), interpolation=cv2.INTER_AREA).astype(np.float32)
        planes = np.broadcast_to(resized / 127.5 - 1, (1, self._input.shape[1], *resized.shape))
        output = np.squeeze(self._session.run(None, {self._input.name: planes})[0])
        if output.min() < 0:  # some networks leave the softmax to the caller
            output = softmax(output, 1)
        return np.asarray(output[:, self._columns], np.float32)

    def read(self, pictures: Pictures, count: int) -> Decoded:
        """Read exactly `count` characters; symbols are places in the sorted alphabet."""
        return decode(self.log_probabilities(pictures), count)


def _open(network: Path) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of each picture's width
    return InferenceSession(network, options, ["CPUExecutionProvider"])


def open_ddddocr(alphabet: str, *, beta: bool = False) -> OcrNetwork:
    """Open the default or the beta network of ddddocr."""
    from ddddocr import charsets  # noqa: PLC0415 - only developers have it

    name, characters = ("common", charsets.CHARSET_BETA) if beta else ("common_old", charsets.CHARSET_OLD)
    return OcrNetwork(_open(Path(charsets.__file__).with_name(f"{name}.onnx")), characters[1:], alphabet, 64)


def open_rapidocr(alphabet: str) -> OcrNetwork:
    """Open RapidOCR's recognition network, PP-OCR's for English and Chinese."""
    # Its network is all that is needed: importing the package would set up logging and a folder for downloads.
    package = find_spec("rapidocr")
    assert package and package.origin  # noqa: S101 - `require_extras` has looked
    (network,) = Path(package.origin).parent.glob("models/*_rec_*.onnx")
    session = _open(network)
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    return OcrNetwork(session, [*characters, " "], alphabet, 48)


def read_rows(read: Callable[[Pictures, int], Decoded], pictures: Pictures, count: int, cut: float | None) -> Decoded:
    """Read `count` characters from pictures as they are, or from two rows cut at a share of their height."""
    if cut is None:
        return read(pictures, count)
    row = round(cut * pictures.shape[1])
    upper, lower = read(pictures[:, :row], -(-count // 2)), read(pictures[:, row:], count // 2)
    return Decoded(
        np.concatenate([upper.symbols, lower.symbols], 1),
        np.concatenate([upper.confidence, lower.confidence], 1),
        upper.score + lower.score,
    )
