"""Which inputs a run takes, and what an earlier one left."""
