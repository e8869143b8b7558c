"""Attacks on captchas: what machines read of them."""
