"""What runs at a customer's: whether it does as simulated, what it costs, what it bears."""
