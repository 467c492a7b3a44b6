"""Classifiers of other libraries, and of a user's own code."""
