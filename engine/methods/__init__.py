"""From pixels to maps."""
