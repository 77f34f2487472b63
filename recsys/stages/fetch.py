"""Stage `fetch`: gets the raw data of the active data set: downloads, generates or copies them.

    python -m recsys.stages.fetch --raw data/raw

If it fails, earlier raw data stay as they were. `<raw>.provenance.json` beside the folder records the source, the time
and the sha256 of every raw file. It is not an output of the pipeline, so the same data from another source cause no
rerun.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys import params as settings
from recsys.datasets import load_adapter
from recsys.errors import reports_errors
from recsys.output import described_files, replaced, write_text


@reports_errors
def main(
    raw: Annotated[Path, typer.Option(help="folder to write the raw files into")],
    params: Annotated[Path, typer.Option(help="settings")] = settings.PARAMS_FILE,
) -> None:
    """Download and check the raw data, copy them from a local folder, or generate them."""
    chosen = settings.load(params)
    adapter = load_adapter(chosen.dataset)
    config = settings.parse(adapter.Config, chosen.data.adapter, f"{params}: datasets.{chosen.dataset}.adapter")
    with replaced(raw) as aside:
        origin = adapter.fetch(config, aside, chosen.seed)
    provenance = {
        "dataset": chosen.dataset,
        "adapter": config.model_dump(mode="json"),
        "seed": chosen.seed,
        "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": origin or {"source": f"recsys/datasets/{chosen.dataset}.py"},
        "files": described_files(raw),
    }
    write_text(raw.with_name(f"{raw.name}.provenance.json"), json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
