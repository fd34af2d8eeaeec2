"""What the decision is about: policies, rollouts, routing, measurements, and the moves between them."""
