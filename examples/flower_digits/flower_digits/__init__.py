"""Ten clients learn to read handwritten digits, in a Flower app."""
