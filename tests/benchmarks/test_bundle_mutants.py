"""Re-hashed mutants of the pipeline's bundle: each is refused with a BundleError, or loads and answers."""

from pathlib import Path

from tests.bundle.test_mutants import MUTANTS, run


def test_of_a_whole_bundle(pipeline: Path, tmp_path: Path) -> None:
    run(pipeline / "bundle", 2 * MUTANTS, 0, tmp_path)
