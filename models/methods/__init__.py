"""How a model goes on learning without losing what it knew.

contract      the hooks of an increment: before the first step, on each batch, after the last step
parent        the model as it was before the increment
distillation  the parent's answers as a second teacher
consolidation elastic weights: what mattered before moves less
anchors       the distance to the parent, and the mean of both
replay        which earlier moments are learned again
continual     the methods of a backtest, each a choice of the above
"""
