"""Teaching a student on photographs without masks: the engine makes the labels, the training course learns from them."""
