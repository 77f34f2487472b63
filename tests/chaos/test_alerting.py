"""An API that is killed reaches the webhook, through real Prometheus and Alertmanager with the committed files."""

from pathlib import Path

import pytest

from benchmarks.monitoring import alerting, servers

pytestmark = pytest.mark.chaos


def test_a_killed_api_reaches_the_webhook(released: Path) -> None:
    if missing := servers.missing():
        pytest.skip(f"not installed (Debian: apt install prometheus prometheus-alertmanager): {', '.join(missing)}")
    assert alerting.once(released, 0) > 0
