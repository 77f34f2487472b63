"""Whether Spark can run here: `.ci/spark` makes an environment in which it can."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LEAST_JAVA = 17
SETTINGS = {"factors": 8, "iterations": 8, "alpha": 5, "regularization": 0.05, "half_life_days": 100, "blocks": 2}


def lacking() -> str:
    """What is missing for it; empty if nothing is."""
    if find_spec("pyspark") is None:
        return "no package pyspark: .ci/spark"
    java = shutil.which("java")
    found = subprocess.run([java, "-version"], capture_output=True, text=True).stderr if java else ""
    version = re.search(r'version "(\d+)', found)
    return "" if version and int(version[1]) >= LEAST_JAVA else f"no Java {LEAST_JAVA} or later: .ci/spark"


needs_spark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def params(folder: Path, **changes: Any) -> Path:
    """Write params.yaml of a small made-up shop with the model als_spark; changes: of its top level, or of `split`."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    shop = content["datasets"]["synthetic"]
    shop["adapter"] |= {"events": 6000, "users": 300, "items": 150, "dirt_share": 0.08}
    shop["thresholds"] |= dict.fromkeys(["max_rejected_share", "max_duplicate_share", "max_orphan_share"], 0.5)
    shop["thresholds"]["max_events_per_user_day"] = 20
    shop["split"] |= changes.pop("split", {})
    content["models"]["als_spark"] = SETTINGS
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return file
