"""What the API, its store and the pipeline agree on: the limits of every field, the tables and columns of the store."""
