"""An end-to-end recommender: it turns raw events into a bundle, an evaluated folder of models that the API serves.

Importing it sets environment variables so that every numeric library uses its AVX2 code on x86-64 Linux. By default
they choose code by the model of the CPU, so that another machine would compute slightly different results. They read
the variables once, when they are loaded: import recsys before numpy. Reasons and cost:
docs/decisions/0013-one-set-of-cpu-kernels.md.
"""

import os
import sys
from pathlib import Path

KERNELS = {
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's, scipy's and implicit's linear algebra
    "MKL_CBWR": "COMPATIBLE",  # torch's
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "FAISS_SIMD_LEVEL": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",  # torch
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch
}


def select_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Set the environment variables of `KERNELS` for this process and its children, on x86-64 Linux only.

    cpuinfo: the file in which Linux lists the features of the CPU.

    Raises:
        ImportError: "numpy was imported before recsys and has chosen its CPU kernels: import recsys first ..."
        SystemExit: "recsys needs a CPU with AVX2, and /proc/cpuinfo does not list it: ..."
    """
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return
    with cpuinfo.open() as lines:
        flags = next((line.split() for line in lines if line.startswith("flags")), ["avx2"])
    if "avx2" not in flags:
        sys.exit(f"recsys needs a CPU with AVX2, and {cpuinfo} does not list it: use a CPU from 2013 or later")
    if "numpy" in sys.modules and any(os.environ.get(name) != value for name, value in KERNELS.items()):
        raise ImportError(
            "numpy was imported before recsys and has chosen its CPU kernels: import recsys first, "
            f"or set in the environment: {' '.join(f'{name}={value!r}' for name, value in KERNELS.items())}"
        )
    os.environ.update(KERNELS)


select_kernels()
