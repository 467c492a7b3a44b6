"""The networks, their checkpoints and what describes them."""
