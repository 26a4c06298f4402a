"""Read the request, ask one model, show one view."""
