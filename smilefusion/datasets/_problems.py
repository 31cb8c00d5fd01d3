"""What is wrong with a folder of clips, in sentences."""

from smilefusion._messages import abridge


def describe(rule, culprits):
    """Insert the abridged culprits into the sentence of a rule; return "" if there are none.

    ``{are}`` and ``{have}`` in the rule agree with the number of culprits.
    """
    culprits = list(culprits)
    are, have = ("is", "has") if len(culprits) == 1 else ("are", "have")
    return rule.format(abridge(culprits), are=are, have=have) if culprits else ""
