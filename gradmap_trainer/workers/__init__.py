"""Training with several workers: processes of this machine, or of a Ray cluster."""
