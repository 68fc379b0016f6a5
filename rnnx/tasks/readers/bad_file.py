"""What every reader raises."""


class BadFile(ValueError):
    """One line that begins with "file" and its path, with a colon and the line where there is one: what is wrong
    there, and the remedy. Nothing of the file is handed out. That a path cannot be opened stays the OSError it is.
    """
