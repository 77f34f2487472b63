"""How long a new team takes from a clone to the first recommendation from its own data."""
