"""Drift: tests whether the API's answers differ from the release's own reference, or from those of earlier weeks."""
