"""The conformance suite: what every engine must do, whatever its rule."""
