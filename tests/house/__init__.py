"""The rules of the house, enforced by reading every file's imports and syntax tree."""
