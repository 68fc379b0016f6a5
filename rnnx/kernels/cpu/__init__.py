"""A native kernel for recurrences on CPUs: matrix products and a cell's own update, the whole sequence in one call."""
