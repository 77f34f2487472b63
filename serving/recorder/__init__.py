"""The flight recorder: stores the inputs of answers, and makes an answer again from them."""
