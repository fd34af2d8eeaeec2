"""POLICY FILES: how operators write a policy, and every sentence about what is wrong with it.

The only room that knows the YAML of a policy; what a policy means lives in ``core/model/policy.py``.
Come in through ``folder.PolicyFolder`` (a watched file or folder) or ``load.load`` (read once);
start reading at ``schema.py``, which is the file format.
"""
