"""One classifier, the smallest there is, of each family of timm that the table shows."""

TIMM = ()
