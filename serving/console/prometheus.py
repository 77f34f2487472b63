"""Reads from Prometheus the alerts that fire, and the versions that each host serves."""

import asyncio
import json
import logging
from collections import defaultdict
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

log = logging.getLogger(__name__)

WAIT_S = 1.0
FIRING = 'ALERTS{alertstate="firing"}'
SERVED = "recsys_config_info == 1"
UNNAMED = ("__name__", "alertname", "alertstate", "severity", "job")


async def alerts(url: str) -> list[tuple[str, str]] | None:
    """Return (name, its labels as text) of each alert that fires; None if Prometheus at `url` does not answer."""
    found = await _query(url, FIRING)
    if found is None:
        return None
    return sorted(
        (each["alertname"], ", ".join(f"{name} {value}" for name, value in each.items() if name not in UNNAMED))
        for each in found
    )


async def hosts(url: str) -> dict[str, dict[str, str]] | None:
    """Return host -> kind (release, rules, experiments) -> version in force; None if Prometheus does not answer.

    While workers of a host differ, the value has both versions, separated by a comma.
    """
    found = await _query(url, SERVED)
    if found is None:
        return None
    versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        versions[each["instance"]][each["kind"]].append(each["version"])
    return {
        host: {kind: ", ".join(sorted(those)) for kind, those in kinds.items()}
        for host, kinds in sorted(versions.items())
    }


async def _query(url: str, expression: str) -> list[dict[str, str]] | None:
    """Return the labels of each series of an instant query."""

    def read() -> Any:
        with urlopen(f"{url}/api/v1/query?{urlencode({'query': expression})}", timeout=WAIT_S) as response:
            return json.load(response)["data"]["result"]

    try:
        return [series["metric"] for series in await asyncio.to_thread(read)]
    except (OSError, ValueError, KeyError) as error:
        log.warning("Prometheus at RECSYS_PROMETHEUS_URL does not answer: %s", error)
        return None
