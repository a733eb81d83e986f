"""Measurements: each prints what it measured in that run, and nothing else. Not tests."""
