"""What the API reads from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the bundle is: a folder named outright, or else the current one of the releases."""

    releases: Path = Path("releases")
    bundle: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read RECSYS_RELEASES and RECSYS_BUNDLE; an empty value counts as absent.

        >>> Settings.from_environment({"RECSYS_RELEASES": "/srv/releases"})
        Settings(releases=PosixPath('/srv/releases'), bundle=None)
        """
        bundle = environment.get("RECSYS_BUNDLE")
        return cls(Path(environment.get("RECSYS_RELEASES") or cls.releases), Path(bundle) if bundle else None)
