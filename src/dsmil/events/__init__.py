"""What flows through the fabric: the event, its wire form, and the devices that speak."""
