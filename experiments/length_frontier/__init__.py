"""How long a sequence each cell learns, beside how its gradient fades."""
