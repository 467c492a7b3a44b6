"""How much of other libraries exports: every model on its own, right, and how fast."""
