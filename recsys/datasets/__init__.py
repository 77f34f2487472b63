"""Data sets: one file here is one data set, named as its section under `datasets` in `params.yaml`.

An adapter defines three names, see `recsys/data/raw_tables.py`. It returns every raw row; `prepare` validates them.
Files whose name starts with an underscore and folders are not adapters.
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
