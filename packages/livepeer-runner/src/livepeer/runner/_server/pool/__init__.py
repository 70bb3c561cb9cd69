"""Batch in model processes: several of them behind one that speaks HTTP."""
