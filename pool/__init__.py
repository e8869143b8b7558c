"""The pool of ready captchas: rows in a database, PNGs in a folder, and the verbs that keep the two in step."""
