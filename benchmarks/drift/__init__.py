"""Drift, on windows whose truth is known."""
