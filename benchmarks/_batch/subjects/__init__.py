"""One module for each server; each is run with a work, a concurrency and a port."""
