"""Tests of one part within this process: neither a process of ours nor the network."""
