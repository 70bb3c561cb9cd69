"""The HTTP face of a runner."""
