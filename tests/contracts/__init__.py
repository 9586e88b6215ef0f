"""Contracts: a suite is written once and run for every implementation."""

DOOR = 4711  # an advisory lock: whoever holds it alone keeps every `contract.hold` waiting inside
