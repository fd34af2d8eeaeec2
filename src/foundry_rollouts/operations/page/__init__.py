"""The page of one rollout, ready to be drawn: sentences, facts, waits, steps, gates, charts, history."""
