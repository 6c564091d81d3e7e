"""What is known of every customer, and of the base as a whole, made from the facts."""
