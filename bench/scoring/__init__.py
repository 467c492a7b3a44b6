"""Scores of maps against masks."""
