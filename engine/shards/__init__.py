"""Shards on their way: which slot runs which, and what is open of each."""
