"""From what a user names to the bytes of images."""
