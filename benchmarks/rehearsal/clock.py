"""The shop's clock: every process that is started with `environment` takes its time of day from one file.

`clock.c` is compiled and loaded into the processes. Sleeps, timeouts and the monotonic clock stay real.
"""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
VARIABLE = "SHOP_CLOCK"


def missing() -> list[str]:
    """Return the programs that a rehearsal needs and this machine lacks."""
    return [name for name in ("cc", "prometheus", "promtool") if shutil.which(name) is None]


def environment(folder: Path) -> dict[str, str]:
    """Compile the library and make the clock's file; return the variables of processes that follow the clock."""
    library, file = folder / "clock.so", folder / "clock"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    file.write_bytes(bytes(mmap.PAGESIZE))
    return {**os.environ, "LD_PRELOAD": str(library), VARIABLE: str(file)}


class Clock:
    """Sets the time of all these processes, this one included."""

    def __init__(self) -> None:
        with Path(os.environ[VARIABLE]).open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.now = 0.0

    def set(self, now: float) -> None:
        """Set the time, UTC seconds; it never goes back."""
        self.now = max(now, self.now)
        self._page[:8] = struct.pack("q", round(self.now * 1e9))
