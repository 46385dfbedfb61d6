"""Listeners: what senders push to this host, into ``L3_IN``."""
