"""Train a recurrent network on a task."""
