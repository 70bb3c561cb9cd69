"""Which orchestrators there are, and which of them is asked first."""
