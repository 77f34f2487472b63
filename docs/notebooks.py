"""Run the notebooks on the outputs of the last `dvc repro` and keep their outputs in them: `python -m docs.notebooks`.

No times of execution are kept, so a notebook differs only where its outputs do.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def execute(path: Path) -> None:
    """Run one notebook from top to bottom in its own folder, and write it back."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    nbformat.write(notebook, path)
    print(f"{path.name}: {len(notebook.cells)} cells")


def main() -> None:
    """Run all notebooks."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        execute(path)


if __name__ == "__main__":
    main()
