"""Parts of http-check."""
