"""The command `python -m batch.dataset.preview`; datasets are written by `batch.datasets`."""
