"""Drift: tests whether the API's answers differ from the release's reference, or from answers of earlier periods."""
