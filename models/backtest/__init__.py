"""The prequential replay: every window is scored by what was learned before it, and then learned.

log       what happened, in order of time, and to which items
contract  what a method must do to take part
registry  the methods by name
"""
