"""Peak memory of `prepare` and `split` by each engine, and whether their outputs have the same bytes.

    python -m benchmarks.data.engines            20 million events: benchmarks/results/engines.json
    python -m benchmarks.data.engines 200000     another of the sizes of benchmarks/scale.py

The shop is drawn once and then kept in `build/engines`. A stage is one process; its peak memory does not depend on
what else runs on the machine, its time would.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks import provenance, scale
from recsys.output import described_files

MEASURES = ("recsys/stages/prepare.py", "recsys/stages/split.py", "recsys/data", "recsys/datasets/shop_world")
BUILD = scale.TOP / "build/engines"
ENGINES = ("local", "duckdb")
PROTOCOLS: dict[str, dict[str, Any]] = {
    "global_time": {"protocol": "global_time", "cold_item_share": 0.0},
    "per_user_holdout": {"protocol": "per_user_holdout", "cold_item_share": 0.1},
}


def main(events: int, users: int, items: int) -> None:
    """Measure and write the results; fail if two engines differ."""
    origin, folder = provenance.describe(), BUILD / str(events)
    folder.mkdir(parents=True, exist_ok=True)
    params, raw, tables = (folder / name for name in ("params.yaml", "raw", "tables"))
    _settings(params, "local", events, users, items)
    if not raw.is_dir():
        _stage("fetch", folder, params, "--raw", raw)
    peaks: dict[str, dict[str, float]] = {}
    files: dict[str, Any] = {}
    for engine in ENGINES:
        _settings(params, engine, events, users, items)
        reports = "--report", folder / "data.json", "--text", folder / "data.txt"
        peaks[engine] = {"prepare": _stage("prepare", folder, params, "--raw", raw, "--tables", tables, *reports)}
        found = {"prepare": described_files(tables), "report": (folder / "data.json").read_text()}
        for protocol, changes in PROTOCOLS.items():
            _settings(params, engine, events, users, items, **changes)
            out = folder / "split"
            peaks[engine][f"split, {protocol}"] = _stage("split", folder, params, "--tables", tables, "--out", out)
            found[protocol] = described_files(out)
        if found != files.setdefault("first", found):
            raise SystemExit(f"{engine} and {ENGINES[0]} wrote different bytes: see {folder}")
        print(engine, peaks[engine], flush=True)
    hashes = {step: {file["path"]: file["sha256"] for file in files["first"][step]} for step in ("prepare", *PROTOCOLS)}
    size = {"events": events, "users": users, "items": items}
    provenance.write("engines", origin, {**size, "peak_gib": peaks, "same_sha256": hashes})


def _settings(path: Path, engine: str, events: int, users: int, items: int, **split: Any) -> None:
    path.write_text((scale.TOP / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    scale.resize(path, {"events": events, "users": users, "items": items})
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["engine"] = engine
    content["datasets"]["synthetic"]["split"].update(split)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _stage(name: str, folder: Path, params: Path, *arguments: object) -> float:
    """GiB at the peak of the stage's process."""
    command = [sys.executable, "-m", f"recsys.stages.{name}", "--params", str(params), *map(str, arguments)]
    return scale.run(command, scale.TOP, f"{name} of {folder}")["peak_gib"]


if __name__ == "__main__":
    size = int(sys.argv[1]) if sys.argv[1:] else 20_000_000
    main(size, *scale.SIZES[size])
