"""EASE on the small shop; the other peers need packages of their own."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.peers import __main__ as peers
from tests.benchmarks.conftest import Results

NEEDS = {"rectools_peers": "rectools", "lenskit_peers": "lenskit", "sasrec_peers": "rectools"}


@pytest.mark.parametrize("script", peers.ENVIRONMENTS)
def test_a_peer(script: str, results: Results, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if script in NEEDS and find_spec(NEEDS[script]) is None:
        pytest.skip(f"{NEEDS[script]} is not here: `python -m benchmarks.peers` gives it an environment of its own")
    monkeypatch.setattr(peers, "BUILD", tmp_path)
    monkeypatch.setenv("ESASREC_STEPS", "5,10")
    monkeypatch.setattr(peers, "ENVIRONMENTS", {name: [] for name in peers.ENVIRONMENTS})
    peers.main(pipeline, [script])
    found = results("peers_synthetic")
    assert found["peers"]
    assert all(peer in found["table"] for peer in found["peers"])
    assert found["table"]["als"]["ndcg@10"] > found["table"]["random"]["ndcg@10"]
    default = found["table"][peers.DEFAULT]
    assert default["ndcg@10"] > found["table"]["random"]["ndcg@10"]
    assert default["to_default"] == [0, 0, 0]
    assert default["segments"]["warm"] > 0
