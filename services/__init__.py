"""What runs beside requests, on the event loop."""
