"""The list of named mutants stays true to the code."""

import pytest

from benchmarks.mutation.named import NAMED, TOP, Mutant


@pytest.mark.parametrize("mutant", NAMED, ids=lambda mutant: mutant.name)
def test_its_text_stands_once_in_its_file(mutant: Mutant) -> None:
    assert (TOP / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert all((TOP / path).exists() for path in mutant.tests)


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in NAMED}) == len(NAMED)
