"""THE ORGANISATION'S PEOPLE: whose tokens of Microsoft Entra ID, or of another provider, are believed.

Come in through ``Entra``; ``keys.py`` holds the provider's public keys.
"""
