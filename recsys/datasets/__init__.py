"""Adapters of data sets: each file is one, with the name of its section under `datasets` in `params.yaml`.

An adapter defines three names, see `recsys/data/raw_tables.py`. It returns all raw rows; `prepare` validates them.
Folders and files whose name starts with an underscore are not adapters.
"""

from typing import cast

from recsys.data.raw_tables import Adapter
from recsys.params import extensions


def load_adapter(name: str) -> Adapter:
    """Import `recsys/datasets/<name>.py`.

    Raises:
        ParamsError: "datasets 'shop': no file recsys/datasets/shop.py; there are: events, files, ..."
    """
    return cast(Adapter, extensions.load("datasets", name))
