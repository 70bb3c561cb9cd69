"""The loops under test; each is loaded in a process of its own, where what it needs is there."""
