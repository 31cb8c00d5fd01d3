"""Tables of results as text."""
