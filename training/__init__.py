"""How Pointsman Mini is made: data, tokenizer, model, trainer, export, parity, evaluation.

Nothing in the product imports this package; it needs the `training` extra. See README.md.
"""
