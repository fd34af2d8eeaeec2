"""What is measured: one file, one question. ``judge.py`` asks those that are published."""
