"""Side-by-side speed and memory, in one run: numerics are compared before anything is timed."""
