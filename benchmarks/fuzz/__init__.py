"""Coverage-guided fuzzing with Atheris: any bytes are read, or refused with the error that is declared for them."""
