"""What jobs cost, and what pays them."""
