"""What was measured, weighed: evidence, verdicts, and the sentences that explain them."""
