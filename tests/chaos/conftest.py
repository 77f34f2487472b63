"""Places where faults happen; one serves all faults that need the same."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.serving.faults.catalogue import Fault
from benchmarks.serving.faults.place import Place, place
from recsys.bundle import releases
from tests.support import bundles

# the machine of the tests has other things to do: a busy core is no fault
PATIENT = {"RECSYS_DEADLINE_MS": "1000", "RECSYS_STORE_MS": "300"}
Places = Callable[[Fault], Place]


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of releases with the hand-made bundle."""
    folder = tmp_path_factory.mktemp("chaos")
    releases.promote(bundles.write(folder / "bundle"), folder / "releases")
    return folder / "releases"


@pytest.fixture(scope="module")
def places(released: Path) -> Iterator[Places]:
    """The place that a fault needs, with a server that is ready."""
    made: dict[tuple[str, bool, bool], Place] = {}
    with ExitStack() as stack:

        def place_of(fault: Fault) -> Place:
            needs = (fault.store, fault.cache, fault.clock)
            if needs not in made:
                made[needs] = stack.enter_context(
                    place(released, fault.store, cache=fault.cache, clock=fault.clock, settings=PATIENT)
                )
            return made[needs]

        yield place_of
