"""What follows from the evidence: the next move, and everything that is recorded and sent with it."""
