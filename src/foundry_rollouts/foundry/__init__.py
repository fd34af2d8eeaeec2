"""The cloud: the only room that knows the wire words of Foundry's hosted agents.

Come in through ``client.FoundryClient``, which answers the ports ``Cloud`` and ``Sessions``; its ``api``
holds one object per resource for whoever needs more. ``http`` alone imports the HTTP library.
"""
