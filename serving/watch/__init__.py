"""The watcher, a process of its own: drift and outcomes of what the API answers, and what is done about them."""
