"""Survival of cells in vitro: experiments as features of several scales, and models that learn from them."""
