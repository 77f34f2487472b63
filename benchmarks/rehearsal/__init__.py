"""A month of a simulated shop against the real API, store, pipeline, watcher and alert rules: `make rehearsal`."""
