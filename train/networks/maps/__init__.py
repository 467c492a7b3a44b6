"""Networks that make or promote maps: promoter, attentional network, their backbones and checkpoints."""
