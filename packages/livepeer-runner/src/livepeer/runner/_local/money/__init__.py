"""What jobs on the local network cost when it charges: balances, tickets, and who pays.

Nothing here is used, or loaded beyond this line, by a network that is free of charge.
"""
