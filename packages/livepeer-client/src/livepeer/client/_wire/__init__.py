"""What travels, as text and bytes: jobs, tokens, lists, events. Pure."""
