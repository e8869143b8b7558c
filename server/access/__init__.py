"""Who may ask, how often, and how hard the captcha is that they get: trusted callers, keys, sites, limits and doubt."""
