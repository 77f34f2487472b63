"""What the README and the docs claim in figures is measured here; each module says what it writes."""

import recsys  # noqa: F401  # isort: skip  # first: it selects the CPU kernels before numpy is loaded
