"""What comes back: answers, items of a stream of events, refusals."""
