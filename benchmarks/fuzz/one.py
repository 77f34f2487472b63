"""Fuzz one target in this process, which libFuzzer ends: `python -m benchmarks.fuzz.one TARGET OPTIONS`."""

import sys

import atheris

with atheris.instrument_imports(include=["recsys", "serving", "lark", "yaml", "itsdangerous"]):
    from benchmarks.fuzz.targets import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
