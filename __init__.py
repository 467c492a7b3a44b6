"""Object saliency in bulk: an image is edited until a classifier no longer sees the object."""
