"""The market day: calendar, gates, contracts by delivery interval, settlement by meters, bills."""
