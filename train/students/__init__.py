"""Training of a student on maps that were made without masks: what is kept of them, its course, and its own next labels."""
