"""The size of the image, how long it takes to start, what is in it: benchmarks/results/image.json

    make image-test

builds the image, starts it, sends it requests and stops it (`.ci/image`), and then runs this program with the measured
values. The exit code is not 0 if the image is too large, or if its start takes too much time of the CPU: on a busy
machine the wall time until it is ready does not measure the image.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import provenance

MEASURES = ("serving/app.py",)
MOST_MB = 500
MOST_READY_S = 5


def main(size_bytes: int, ready_ms: int, ready_cpu_ms: int, packages: Path) -> None:
    """Write the figures, print them, and compare them with the limits."""
    size_mb, ready_s, cpu_s = round(size_bytes / 1e6), round(ready_ms / 1000, 2), round(ready_cpu_ms / 1000, 2)
    listed = dict(line.split(maxsplit=1) for line in packages.read_text().splitlines())
    figures = {"size_mb": size_mb, "ready_s": ready_s, "ready_cpu_s": cpu_s, "packages": listed}
    provenance.write("image", provenance.describe(), figures)
    print(
        f"{size_mb} MB (limit {MOST_MB}), {len(listed)} packages, "
        f"ready after {ready_s} s, of which {cpu_s} s of CPU (limit {MOST_READY_S})"
    )
    if size_mb > MOST_MB or cpu_s > MOST_READY_S:
        sys.exit("error: the image is too large, or its start takes too long")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--bytes", type=int, required=True, help="size of all layers, not compressed")
    options.add_argument("--ready-ms", type=int, required=True, help="from `podman start` to the first 200 of /readyz")
    options.add_argument("--ready-cpu-ms", type=int, required=True, help="time of the CPU in the container until then")
    options.add_argument("--packages", type=Path, required=True, help="a file with lines such as `libc6 2.36-9`")
    given = options.parse_args()
    main(given.bytes, given.ready_ms, given.ready_cpu_ms, given.packages)
