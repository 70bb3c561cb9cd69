"""What a call sends: its payload, its files, its progress."""
