"""Labelled datasets for those who train recognisers: what is drawn, in which files, and what is written beside."""
