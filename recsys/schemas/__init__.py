"""Definitions that the API, its store and the pipeline share: limits of fields, tables and columns of the store."""
