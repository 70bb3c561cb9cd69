"""One module for each subject, of the same names: see `load.Subject`."""
