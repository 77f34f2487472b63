"""Writes the figures of README.md and docs/*.md from the results files: `make figures`

    python -m benchmarks.figures

A document shows a block between `<!-- figures: NAME -->` and `<!-- end of figures -->`; NAME is a key of `BLOCKS`.
"""

from benchmarks.figures.documents import write

if __name__ == "__main__":
    for path in write():
        print(f"{path}: written anew")
