"""How a runner makes itself known to the network."""
