"""The surrogate: channels, network and the bundle that carries it."""
