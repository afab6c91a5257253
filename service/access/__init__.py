"""Who asks, and what they may: keys, their rights, and the door that checks them."""
