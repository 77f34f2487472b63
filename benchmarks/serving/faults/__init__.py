"""What breaks while the API serves: the faults, the place where they happen, and what users notice of them."""

import recsys  # noqa: F401  # isort: skip  # first: it selects the CPU kernels before numpy is loaded
