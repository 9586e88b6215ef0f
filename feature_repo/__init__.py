"""The features of tidegate as Feast knows them.

The definitions import Feast and nothing of ours, so that the plain Feast command reads them anywhere.
"""
