"""Your own files, see `recsys/datasets/_files/adapter.py`. `recsys inspect --name NAME` makes more like it."""

from recsys.datasets._files.adapter import Config, fetch, tables

__all__ = ["Config", "fetch", "tables"]
