"""Report on runs that are there."""
