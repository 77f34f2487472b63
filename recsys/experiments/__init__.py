"""Online experiments: assignment of users to variants, and analysis of the log."""
