"""The prequential replay: every window is scored by what was learned before it, and then learned.

log          what happened, in order of time, and to which items
columns      events and items as columns, made into a log
contract     what a method must do to take part
registry     the methods by name
prequential  the replay itself, and the rank of everything that happened
cost         what a step takes
segments     parts of the events that a mean hides
answers      what a click head says, and how well it is calibrated
figures      what came out of a course, as rows
bootstrap    how sure a difference is
contest      several methods on one log: choose on the first half of the windows, report on the second
report       a contest as one document of plain values
"""
