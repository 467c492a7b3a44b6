"""Networks of our own, and those whose published weights come from the package index."""
