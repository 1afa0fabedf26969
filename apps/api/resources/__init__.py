"""One file a resource: its rows, who sees them, what is told of them, and which services change them."""
