"""The command `python -m batch.fill`: captchas into the pool or a dataset."""
