"""Drift: whether what the API answers now differs from the release's own reference, or from a week ago."""
