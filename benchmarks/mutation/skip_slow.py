"""A pytest plugin for mutants: leave out tests that need the whole pipeline or a server, which take a minute."""

import pytest

SLOW = {"pipeline", "postgres", "redis_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the quick tests."""
    items[:] = [item for item in items if not SLOW & set(getattr(item, "fixturenames", ()))]
