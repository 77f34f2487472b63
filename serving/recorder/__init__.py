"""The flight recorder: stores the inputs of answers, and computes an answer again (a replay) from them."""
