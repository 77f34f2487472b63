"""The Console at `/console`: pages for the operators of a shop, rendered by the server without any other host."""
