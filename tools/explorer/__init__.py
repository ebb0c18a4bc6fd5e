"""The explorer: web pages that show chain, market and feeder, and trade from a browser."""
