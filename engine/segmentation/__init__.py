"""From maps to refined maps, masks and judgements."""
