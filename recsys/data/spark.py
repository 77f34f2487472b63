"""Spark, on this machine or a cluster: the session of this process, and tables through files that both can read.

Spark's own settings say where it runs and how much memory it takes: `spark-defaults.conf` in the folder that
SPARK_CONF_DIR names. Without them it runs on all cores of this machine. See docs/spark.md.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import DataError, ParamsError, one_line

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.ui.showConsoleProgress": "false",
}


@contextmanager
def session() -> Iterator[Any]:
    """Yield the `SparkSession` of this process, started if there is none; it ends with the process. In children of
    spark-submit it is that of the whole application, and stays for the next stage.

    Raises:
        ParamsError: "spark: no Java on this machine: install openjdk-17-jre-headless, or set JAVA_HOME"
        DataError: "spark: Job aborted due to stage failure: ..."
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as missing:
        raise ParamsError(
            f"spark: no package {missing.name}: run this in the environment of requirements-spark.lock, docs/spark.md"
        ) from None
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ParamsError("spark: no Java on this machine: install openjdk-17-jre-headless, or set JAVA_HOME")
    try:
        if "PYSPARK_GATEWAY_PORT" in os.environ:
            _attach()
        yield SparkSession.builder.appName("recsys").config(map=SETTINGS).getOrCreate()
    except (PySparkException, Py4JError) as error:
        cause = str(error).partition("\n: ")[2] or str(error)  # py4j names the call, then the exception of Java
        raise DataError(f"spark: {one_line(cause)}") from error


@cache
def _attach() -> None:
    """Use the context in the JVM of spark-submit, or start it there. The JVM allows one, and stopping it after a stage
    would delete the service at which executors on Kubernetes find the driver."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    gateway = launch_gateway()
    context = gateway.jvm.org.apache.spark.SparkContext.getOrCreate()
    SparkContext(gateway=gateway, jsc=gateway.jvm.JavaSparkContext(context))


def written(table: Any, folder: Path) -> pl.LazyFrame:
    """Write a table of Spark into a folder of Parquet files and return its rows, in its order."""
    table.write.mode("overwrite").parquet(address(folder))
    return pl.scan_parquet(sorted(folder.glob("part-*.parquet")))


def address(path: Path) -> str:
    """Return the address of a file for Spark, whose default file system may be another one."""
    return path.resolve().as_uri()
