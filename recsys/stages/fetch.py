"""Stage `fetch`: gets the raw data of the active data set: downloads, generates or copies them.

    python -m recsys.stages.fetch --raw data/raw --own own

The folder `own` then has links to the files that were read on this machine, so that DVC detects their changes.

If it fails, earlier raw data stay as they were. `<raw>.provenance.json` beside the folder records the source, the time
and the sha256 of every raw file. It is no output of the pipeline, so another source of the same data causes no rerun.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys import datasets
from recsys import params as settings
from recsys.errors import reports_errors
from recsys.output import described_files, replaced, write_text


@reports_errors
def main(
    raw: Annotated[Path, typer.Option(help="folder to write the raw files into")],
    params: Annotated[Path, typer.Option(help="settings")] = settings.PARAMS_FILE,
    own: Annotated[Path | None, typer.Option(help="folder for links to the files that the data set names")] = None,
) -> None:
    """Download and check the raw data, copy them from a local folder, or generate them."""
    chosen = settings.load(params)
    adapter = datasets.load_adapter(chosen.dataset)
    config = settings.parse(adapter.Config, chosen.data.adapter, f"{params}: datasets.{chosen.dataset}.adapter")
    with replaced(raw) as aside:
        origin = datasets.fetch(chosen.dataset, config, aside, chosen.seed)
    if own is not None:
        read = [files for files in (origin or {}).values() if isinstance(files, list)]
        _link([Path(file["path"]) for files in read for file in files], own)
    provenance = {
        "dataset": chosen.dataset,
        "adapter": config.model_dump(mode="json"),
        "seed": chosen.seed,
        "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": origin or {"source": f"recsys/datasets/{chosen.dataset}.py"},
        "files": described_files(raw),
    }
    write_text(raw.with_name(f"{raw.name}.provenance.json"), json.dumps(provenance, indent=2) + "\n")


def _link(files: list[Path], folder: Path) -> None:
    """Replace the links in the folder by links to these files, except to files that are in the folder itself."""
    for before in folder.glob("*"):
        if before.is_symlink():
            before.unlink()
    for number, file in enumerate(file for file in files if not file.is_relative_to(folder.absolute())):
        folder.mkdir(exist_ok=True)
        (folder / f"{number:04}-{file.name}").symlink_to(file)


if __name__ == "__main__":
    typer.run(main)
