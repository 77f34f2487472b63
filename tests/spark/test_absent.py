import pytest

from recsys.errors import ParamsError
from recsys.models import als_spark
from tests.extensions.test_models import training
from tests.spark.environment import SETTINGS, lacking


@pytest.mark.skipif(not lacking(), reason="Spark is here")
def test_without_spark_or_java_it_says_what_is_missing() -> None:
    with pytest.raises(ParamsError, match=r"^spark: no (package \w+: .*requirements-spark.lock|Java)"):
        als_spark.fit(training(), als_spark.Config.model_validate(SETTINGS))
