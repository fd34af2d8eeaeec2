"""A local Foundry: a strict stand-in for the cloud's agent service, for demos, tests and offline work.

A distribution of its own, ``foundry-rollouts-emulator``. It shares no code with the client it is used to judge, and it
refuses what it does not know with the cloud's own error envelope. Enter through ``app.create_app``, ``serve.serve`` or
``background.running``; start reading at ``operations.py``.
"""
