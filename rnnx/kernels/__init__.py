"""Fast functions of arrays: arrays and pure functions in, arrays out; never a cell."""
