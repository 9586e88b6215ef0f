"""What many tests need: databases, processes, and waiting for something to become true."""
