"""Where taste alone helps, the choice leaves out what lives on order and repeats: through the real stages."""

import json
from pathlib import Path

import yaml

from tests.support import stages

SEEDS = (7, 8, 9)
MODELS = {
    "als": {"factors": 16, "alpha": 2.2, "regularization": 12.0, "half_life_days": 100_000},
    "ease": {"regularization": 100.0, "half_life_days": 10_000},
    "covisit": {},
}


def test_sources_of_order_and_repeats_are_left_out(root: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((root / "params.yaml").read_text())
    content["dataset"], content["rankers"]["learned"]["max_users"] = "control", 300
    control, learned = content["datasets"]["control"], content["variants"]["learned"]
    control["adapter"] = {"scenario": "control", "events": 15_000, "users": 600, "items": 300, "days": 100}
    control["models"] = MODELS
    # fewer models to train, and none that needs torch
    content["datasets"] = {"control": control}
    content["models"] = {name: content["models"][name] for name in MODELS}
    learned["sources"] = [part for part in learned["sources"] if part.get("config", {}).get("model", "als") in MODELS]
    content["variants"] = {name: content["variants"][name] for name in ("popular", *MODELS)} | {"learned": learned}
    content["evaluate"]["baselines"] = ["popular", "als"]
    folders = [tmp_path / f"{seed}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, folders, strict=True):
        folder.mkdir()
        (folder / "params.yaml").write_text(yaml.safe_dump(content | {"seed": seed}, sort_keys=False))
    assert stages.run(folders, until="rank") == dict.fromkeys(folders, "")

    for folder in folders:
        ranker = json.loads((folder / "rankers/test/learned/ranker.json").read_text())
        assert "covisit" in ranker["left_out"]
        assert ranker["models"]
        assert not {"covisit", "repeat"} & set(ranker["models"])
