"""Lists for every results file how many commits have touched the code that it measures since: `make check-figures`

python -m benchmarks.figures.check           lists, the oldest first
python -m benchmarks.figures.check --mark    also writes the count into the files, so that the documents show it
"""

import json
import sys

from benchmarks import provenance
from benchmarks.figures.age import Age, ages


def main(mark: bool) -> None:
    """List, and mark where asked to."""
    head = provenance.describe()["commit"]
    print(f"{'commits since':>13}  {'measured at':12}{'date':12}results")
    for age in ages():
        count = "not here" if age.commits is None else str(age.commits)
        name = age.path.relative_to(provenance.TOP)
        print(f"{count:>13}  {age.origin['commit'][:7]:12}{age.origin['date']:12}{name}")
        if mark:
            write_mark(age, head)


def write_mark(age: Age, head: str) -> None:
    """Put `older_than_the_code` into the provenance of a stale file, take it out of one that is not."""
    content = json.loads(age.path.read_text(encoding="utf-8"))
    origin = content.pop("provenance")
    origin.pop("older_than_the_code", None)
    if age.commits != 0:
        origin["older_than_the_code"] = {"commits": age.commits, "at": head.removesuffix("-dirty")}
    provenance.write(age.path.stem, origin, content, age.path.parent)


if __name__ == "__main__":
    main("--mark" in sys.argv[1:])
