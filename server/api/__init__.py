"""The routes, one file for each kind of caller, and what several of them need: checks, bodies, steps, responses."""
