"""Cells whose recurrent matrix keeps norms: unitary, orthogonal, or nearly so."""
