"""Processes for the author's code: started, spoken to, watched and ended."""
