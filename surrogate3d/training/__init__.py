"""Training of the surrogate on sparse labels."""
