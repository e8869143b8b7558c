"""Work as a client of another project does it, with ALTCHA's own solver, and a site that takes it for a picture."""

import json
from base64 import b64decode, b64encode
from typing import Any

from altcha import Challenge, Payload, solve_challenge

CODE, SECRET = "abc234", "a-secret-of-the-quiet"
QUIET_SITE = f"""
[sites.quiet]
sitekey = "quiet-key"
secret = "{SECRET}"
mode = "quiet"
quiet_limit = "1000/minute"
alternative = "work"
"""
"""For a keys file: a site whose visitors may pass without a picture."""


def solved(work: dict[str, Any]) -> str:
    """Do what a challenge asks for; give what is sent."""
    challenge = Challenge.from_dict(work)
    solution = solve_challenge(challenge)
    assert solution
    assert solution.counter < work["parameters"]["data"]["tries"]
    return Payload(challenge, solution).to_base64()


def altered(given: str, path: str, value: object) -> str:
    """Change one thing of what was solved, such as `challenge.parameters.data.weight`."""
    payload = json.loads(b64decode(given))
    *parents, last = path.split(".")
    place = payload
    for parent in parents:
        place = place[parent]
    place[last] = value
    return b64encode(json.dumps(payload).encode()).decode()
