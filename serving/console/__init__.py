"""The Console at `/console`: pages for the operators of a shop, which load nothing from other hosts."""
