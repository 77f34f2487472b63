"""A pytest plugin for mutants: leave out tests that need the whole pipeline or a server, which take a minute.

The tests of PostgreSQL and of Redis stay for the modules that are about them: each is an argument beside its tests.
"""

import pytest

SLOW = {"pipeline": "", "postgres": "stores/postgres.py", "redis_url": "service/cache.py"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the quick tests."""
    slow = {
        fixture
        for fixture, module in SLOW.items()
        if not module or not any(arg.endswith(module) for arg in config.args)
    }
    items[:] = [item for item in items if not slow & set(getattr(item, "fixturenames", ()))]
