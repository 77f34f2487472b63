"""Renames text and paths: package, classes, environment variables, metrics, alerts, images and documents."""

import re

OLD = "recsys"
# Names of images and of Kubernetes objects take no underscore.
HYPHENATED = re.compile(
    rf"{OLD}(?=-)|(?<=-){OLD}\b|(?<=secret generic ){OLD}\b|(?<=Name: ){OLD}\b|(?<=Ref: {{name: ){OLD}\b"
    rf"|(?<=namespace: ){OLD}\b|(?<=--namespace ){OLD}\b|(?<=secret `){OLD}\b"
)


def renamed(text: str, name: str) -> str:
    """Return a text or a path with the new name in each spelling of the old one.

    >>> renamed("recsys.errors RecsysError RECSYS_STORE_URL recsys_requests_total recsys-api", "acme_recs")
    'acme_recs.errors AcmeRecsError ACME_RECS_STORE_URL acme_recs_requests_total acme-recs-api'
    """
    text = HYPHENATED.sub(name.replace("_", "-"), text)
    text = text.replace(OLD.upper(), name.upper()).replace(OLD, name)
    return text.replace(OLD.capitalize(), "".join(part.capitalize() for part in name.split("_")))
