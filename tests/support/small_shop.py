"""The small made-up shop that tests and `benchmarks.same_bytes` run the whole pipeline on."""

from pathlib import Path
from typing import Any

import yaml

SMALL: dict[str, dict[str, Any]] = {
    "datasets.synthetic.adapter": {"events": 20_000, "users": 600, "items": 300},
    "datasets.synthetic.thresholds": {"min_interactions": 1_000, "min_users": 50, "min_items": 50},
    "datasets.synthetic.models.content": {"factors": 16, "epochs": 1},
    "models.als": {"iterations": 5},
    "models.als_long": {"iterations": 5},
    "rankers.learned": {"max_users": 200, "rounds": 10, "min_data_in_leaf": 20},
    "evaluate": {"max_users": 300, "bootstrap": 200, "baselines": ["popular", "als", "als_recent", "random"]},
    "gate": {"baseline": "random"},  # so few users cannot tell two good variants apart
}


def change(path: Path, dataset: str, changes: dict[str, dict[str, Any]], threads: int | None = None) -> None:
    """Choose a data set in a file of parameters, and set the values of some of its sections.

    threads: of training and evaluation; 1 starts no further process, which costs few users more than it saves.
    """
    params: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["dataset"] = dataset
    params["threads"] = threads or params["threads"]
    for key, values in changes.items():
        section = params
        for part in key.split("."):
            section = section[part]
        section.update(values)
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
