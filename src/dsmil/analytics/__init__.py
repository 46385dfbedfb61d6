"""Streaming analytics: what many records mean together, in event time, with bounded state. No input or output."""
