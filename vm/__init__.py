"""The deterministic kernel: primitives, state overlay, gas, the module runtime, system modules."""
