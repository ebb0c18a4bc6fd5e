"""The test suite; a folder per package, and `house` for the rules of the code itself."""
