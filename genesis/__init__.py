"""Data only: genesis files, and under `cases/` the published cases that commands need.

Read them through `importlib.resources.files("genesis")`, which also works when installed.
"""
