"""The command `livepeer trickle`."""
