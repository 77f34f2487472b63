"""The watcher, a separate process: it measures drift and outcomes of the API's answers, and acts on findings."""
