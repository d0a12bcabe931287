"""The REST face: translates requests into calls of services and selectors, and their results into answers."""
