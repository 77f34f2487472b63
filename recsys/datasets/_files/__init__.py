"""Parts of `recsys/datasets/files.py`: find and open files, split lines into records, read cells."""
