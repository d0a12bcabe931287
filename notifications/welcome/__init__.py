"""The page at `/`: what is running and where, for whoever has just started it, and a test notification to watch."""
