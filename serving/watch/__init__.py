"""The watcher, a process of its own: measures drift and outcomes of the API's answers, and acts on findings."""
