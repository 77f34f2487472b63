"""The parts of `recsys/models/content.py`."""
