"""Every file in recsys/datasets keeps the contract of `Adapter`."""

import inspect

import pytest
from pydantic import BaseModel

from recsys.datasets import load_adapter
from recsys.errors import ParamsError
from recsys.params import extensions

NAMES = extensions.names("datasets")


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_has_settings_fetch_and_tables(name: str) -> None:
    adapter = load_adapter(name)
    assert issubclass(adapter.Config, BaseModel)
    assert adapter.Config.model_config["extra"] == "forbid"
    assert adapter.Config.model_config["frozen"]
    assert list(inspect.signature(adapter.fetch).parameters) == ["config", "out", "seed"]
    assert list(inspect.signature(adapter.tables).parameters) == ["config", "raw"]


@pytest.mark.parametrize("name", ["shop", "shop_world", "__init__", "../files", ""])
def test_an_unknown_data_set_is_an_error_that_lists_the_choices(name: str) -> None:
    with pytest.raises(ParamsError, match="there are: control, events, files, grocery, movielens, news, online_retail"):
        load_adapter(name)
