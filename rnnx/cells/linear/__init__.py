"""Cells whose units do not see each other in the loop: diagonal recurrences, most of them affine in the state."""
