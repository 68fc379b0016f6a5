"""Text by a trained language model."""
