"""A provider that others wrote: flagd's own, reading a file of flags, named in RECSYS_FLAG_PROVIDER alone."""

import json
from collections import Counter
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from recsys.experiments.analysis import log
from recsys.experiments.online import config
from serving.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import new_store, until_ready

EXPERIMENTS = """experiments:
  home:
    arms: {control: {variant: als, weight: 0.5}, popular: {variant: popular, weight: 0.5}}
    forced: {tester: popular}
"""
SPLIT = {"fractional": [{"var": "targetingKey"}, ["control", 50], ["popular", 50]]}
FLAG = {
    "state": "ENABLED",
    "variants": {"control": "control", "popular": "popular", "nobody": ""},
    "defaultVariant": "nobody",
    "targeting": {"if": [{"==": [{"var": "surface"}, "home"]}, SPLIT, "nobody"]},
}


def test_flagd_assigns_and_the_log_holds_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """flagd gives every split the reason TARGETING_MATCH; its units are drawn all the same, none is put in by hand."""
    bundles.write(tmp_path / "bundle")
    (tmp_path / "experiments.yaml").write_text(EXPERIMENTS)
    (tmp_path / "flags.json").write_text(json.dumps({"flags": {"home": FLAG}}))
    monkeypatch.setenv("FLAGD_RESOLVER", "file")
    monkeypatch.setenv("FLAGD_OFFLINE_FLAG_SOURCE_PATH", str(tmp_path / "flags.json"))
    store = new_store(tmp_path)
    settings = {
        "RECSYS_BUNDLE": str(tmp_path / "bundle"),
        "RECSYS_STORE_URL": store,
        "RECSYS_EXPERIMENTS": str(tmp_path / "experiments.yaml"),
        "RECSYS_FLAG_PROVIDER": "openfeature.contrib.provider.flagd:FlagdProvider",
        "RECSYS_DEADLINE_MS": "10000",
        "RECSYS_STORE_MS": "10000",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with TestClient(create_app(Settings.from_environment())) as client:
        until_ready(client)
        told = {}
        for number in range(60):
            body = {"user_id": f"user-{number}", "surface": "home", "k": 3}
            told[body["user_id"]] = client.post("/v1/recommend", json=body).json()["meta"]
        elsewhere = client.post("/v1/recommend", json={"user_id": "user-1", "surface": "cart"}).json()["meta"]
    arms = Counter(meta["experiment"]["variant"] for meta in told.values())
    assert min(arms["control"], arms["popular"]) > 15
    assert {meta["experiment"]["propensity"] for meta in told.values()} == {0.5}
    assert all(
        meta["variant"] == {"control": "als"}.get(meta["experiment"]["variant"], "popular") for meta in told.values()
    )
    assert elsewhere["experiment"] is None
    experiment = config.load(tmp_path / "experiments.yaml")[0].experiments["home"]
    logged = log.read(store, "home", experiment).exposures
    assert dict(logged.select("unit", "arm").iter_rows()) == {
        user: meta["experiment"]["variant"] for user, meta in told.items()
    }
