"""From what a user names to decoded images."""
