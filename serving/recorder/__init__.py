"""The flight recorder: what answers were made from is stored, and an answer is made again from it."""
