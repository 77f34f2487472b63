"""Parts of the adapter `files`: find and open files, split lines into records, parse cells."""
