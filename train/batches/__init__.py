"""What a training reads, in which order, by which configuration."""
