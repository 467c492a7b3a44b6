"""Networks that a caller hands over, and the bundles that networks become."""
