"""Who may ask, how often, and how hard their captchas are: keys, visits, limits and doubt."""
