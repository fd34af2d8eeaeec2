"""Who is measured: our judge, and models of the rules that others document. ``registry.py`` lists them all."""
