"""Hosts in network namespaces at toy size, each program in a process of its own: it enters a namespace."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.stores import namespaces, network, scaling
from tests.benchmarks.conftest import Results
from tests.support import bundles


def skip_without(programs: tuple[str, ...]) -> None:
    if reason := namespaces.missing(*programs):
        pytest.skip(reason)


def test_two_hosts_while_everything_changes_and_breaks(
    results: Results, tmp_path: Path, command: Callable[..., str]
) -> None:
    skip_without(network.PROGRAMS)
    bundle = bundles.write(tmp_path / "bundle")
    command("benchmarks.stores.network", "--bundle", bundle, "--seconds", 4, "--fault-seconds", 5)
    found = results("stores_network")
    assert found["acknowledged_events"] > found["acknowledged_events_lost"] == 0, found
    assert found["exposures_in_arms"] > found["units_in_two_arms"] == 0, found
    assert found["changes"] == 6, found
    assert found["blocked_items_shown"] == 0, found
    assert found["store cut off from host 0"]["says_so_after_seconds"] > 0, found


def test_scaling(results: Results, tmp_path: Path, command: Callable[..., str]) -> None:
    skip_without(scaling.PROGRAMS)
    bundle = bundles.write(tmp_path / "bundle")
    command("benchmarks.stores.scaling", "--bundle", bundle, "--rounds", 1, "--seconds", 1)
    runs = results("stores_scaling")["runs"]
    assert {(run["hosts"], run["workers"], run["balancer"]) for run in runs} == {
        (*size, balancer) for size in scaling.SIZES for balancer in scaling.BALANCERS
    }
    assert all(run["per_second"][0] > 0 for run in runs)
