"""A release whose item vectors are those of other items: every file is where it belongs, and the manifest is right."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import bundle, embeddings, index
from recsys.drift import reference
from recsys.output import described_files
from recsys.params import IndexParams


def scramble(source: Path, folder: Path) -> Path:
    """Copy a bundle, shuffle the item vectors of every model, build its index anew and hash all files again."""
    shutil.copytree(source, folder)
    content = json.loads((folder / bundle.MANIFEST).read_text())
    settings = IndexParams(exact_up_to=20_000, min_recall=0.9, recall_at=10, sample=10)
    for name in content["models"]:
        model = embeddings.load(folder / "models" / name)
        vectors = np.array(model.vectors)
        rows = np.asarray(model.rows)
        vectors[rows] = vectors[np.random.default_rng(7).permutation(rows)]
        np.save(folder / "models" / name / "vectors.npy", vectors)
        index.build(vectors, rows, settings, seed=1).save(folder / "models" / name)
        about = json.loads((folder / "models" / name / "index.json").read_text())
        content["models"][name]["index"] = about
    return reseal(folder, content)


def reseal(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Hash all files of a bundle again; content: of its manifest, changed."""
    content = content or json.loads((folder / bundle.MANIFEST).read_text())
    content["files"] = [each for each in described_files(folder) if each["path"] != bundle.MANIFEST]
    del content["bundle_id"]
    content["bundle_id"] = bundle._digest(content)
    (folder / bundle.MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return folder


def personal(source: Path, folder: Path) -> Path:
    """Copy a bundle whose default is popular; the copy serves `als`, and has the reference of that."""
    shutil.copytree(source, folder)
    content = json.loads((folder / bundle.MANIFEST).read_text())
    content["default_variant"] = "als"
    reseal(folder, content)
    reference.write(bundle.load(folder), folder)
    return reseal(folder)
