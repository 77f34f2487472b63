from collections.abc import Iterator

import pytest

import recsys  # noqa: F401  # before numpy: it selects the CPU kernels
from tests.spark.environment import lacking


@pytest.fixture(scope="session", autouse=True)
def one_session() -> Iterator[None]:
    """The session that the first test starts is that of all, as starting takes 30 CPU seconds."""
    yield
    if not lacking():
        from pyspark.sql import SparkSession

        if (session := SparkSession.getActiveSession()) is not None:
            session.stop()
