"""What a policy would have made of measurements of the past."""
