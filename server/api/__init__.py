"""The routes, and what several of them need: checks of callers, bodies, steps of a journey, responses."""
