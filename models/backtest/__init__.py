"""The prequential replay: every window is scored by what was learned before it, and then learned.

log          what happened, in order of time, and to which items
contract     what a method must do to take part
registry     the methods by name
prequential  the replay itself, and the rank of everything that happened
cost         what a step takes
"""
