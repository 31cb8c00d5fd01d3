"""What is wrong with a folder of clips, in sentences."""

from smilefusion._messages import abridge


def describe(rule, culprits):
    """Put the culprits, abridged, into the sentence of a rule; empty where there are none."""
    culprits = list(culprits)
    return rule.format(abridge(culprits)) if culprits else ""
