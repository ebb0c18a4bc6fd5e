"""The explorer in a real browser, over networks of real processes."""
