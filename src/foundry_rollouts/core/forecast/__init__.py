"""What to expect of a policy before it is used."""
