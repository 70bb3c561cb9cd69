"""Live streams: sessions, their ends, and what follows them."""
