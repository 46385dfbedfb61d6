"""Judging events: pure functions of event, operator state and policy. No I/O, no clock."""
