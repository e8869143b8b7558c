"""Labelled datasets for training recognisers: what is drawn, in which files, and what is written beside."""
