"""The routes, one file for each kind of caller; `bodies` and `uploads` read what the caller sent."""
