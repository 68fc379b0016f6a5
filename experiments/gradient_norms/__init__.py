"""Compare gradient norms of recurrent cells across sequence lengths."""
