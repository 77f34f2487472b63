"""Where taste alone helps, the choice leaves out what lives on order and repeats: through the real stages."""

import json
from pathlib import Path

import yaml

from tests.support import stages

ALS = {"factors": 16, "alpha": 2.2, "regularization": 12.0, "half_life_days": 100_000}
MODELS = {
    "als": ALS,
    "als_long": dict(ALS),
    "content": {"factors": 16, "half_life_days": 10_000, "epochs": 0},
    "ease": {"regularization": 100.0, "half_life_days": 10_000},
    "covisit": {},
}


def test_sources_of_order_and_repeats_are_left_out(root: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((root / "params.yaml").read_text())
    control = content["datasets"]["control"]
    control["adapter"] = {"scenario": "control", "events": 15_000, "users": 600, "items": 300, "days": 100}
    control["models"] = MODELS
    content["dataset"], content["rankers"]["learned"]["max_users"] = "control", 300
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert stages.run([tmp_path], until="rank")[tmp_path] == ""

    ranker = json.loads((tmp_path / "rankers/test/learned/ranker.json").read_text())
    assert "covisit" in ranker["left_out"]
    assert ranker["models"]
    assert not {"covisit", "repeat"} & set(ranker["models"])
