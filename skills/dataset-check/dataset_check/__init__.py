"""Parts of dataset-check."""
