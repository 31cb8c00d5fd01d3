"""Model cards: what a model is, what it was trained on, what it is for, as Markdown."""

import json

from smilefusion._messages import abridge
from smilefusion._model_files._container import check_text
from smilefusion.exceptions import InvalidDataError

# Fields that may be given, their headings, and what stands there where they are not.
CARD_FIELDS = {
    "summary": (None, None),
    "data": ("Data", "Not stated."),
    "protocol": ("Protocol", "Not stated."),
    "metrics": ("Metrics", "Not measured, or not stated."),
    "intended_use": (
        "Intended use",
        "Research on smiles: telling spontaneous from posed smiles in clips that were recorded "
        "like the training clips.",
    ),
    "limits": (
        "Limits",
        "A classifier of smiles does not know what a person feels; it must not be used to judge "
        "people. On other people, cameras, frame rates or ways of posing than those of the "
        "training clips it may do worse, which only a test on people it was not trained on "
        "shows.",
    ),
}


def write_card(model, card, *, metadata, splits, versions, n_numbers):
    """Return the model card of a model.

    Parameters
    ----------
    model : estimator
        The model.
    card : dict of str to str or dict, str or None
        Fields of `CARD_FIELDS`, a dict being shown as a table; or the whole text.
    metadata : dict
        Shown as a table.
    splits : dict of str to dict
        ``n`` and ``sha256`` of the names in each split.
    versions : dict of str to str
        Of the packages.
    n_numbers : int
        How many numbers the model holds.

    Returns
    -------
    text : str
        Markdown.

    Raises
    ------
    InvalidDataError
        If a field is unknown, or of another type.
    """
    if isinstance(card, str):
        return _clean(card)
    fields = dict(card or {})
    unknown = [str(key) for key in fields if key not in CARD_FIELDS]
    if unknown:
        raise InvalidDataError(
            f"card has no field {abridge(unknown)}; it may have {', '.join(CARD_FIELDS)}, or be "
            f"the whole text. Rename it."
        )
    lines = [f"# Model card: {_describe(model)}", ""]
    if "summary" in fields:
        lines += [_render(fields["summary"]), ""]
    lines += ["## Model", "", f"- Made of: {_describe(model, nested=True)}"]
    classes = getattr(model, "classes_", None)
    if classes is not None:
        lines.append(f"- Classes: {abridge(classes, 20)}")
    lines += [f"- Numbers stored: {n_numbers:,}", ""]
    for name, (heading, default) in CARD_FIELDS.items():
        if heading is not None:
            lines += [f"## {heading}", "", _render(fields.get(name, default)), ""]
        if name == "data":
            lines += _describe_data(metadata, splits)
    lines += ["## Versions", "", _table("package", versions), ""]
    return _clean("\n".join(lines))


def _describe(model, *, nested=False):
    """Return the class of a model and, where asked for, those of its parts."""
    name = type(model).__name__
    if not nested:
        return name
    fitted = getattr(model, "best_estimator_", None)
    parts = getattr(model, "steps", None) or getattr(model, "transformer_list", None) or ()
    if fitted is not None:
        parts = [("best_estimator_", fitted)]
    inner = [
        f"{label}: {_describe(part, nested=True)}"
        for label, part in parts
        if hasattr(part, "get_params")
    ]
    return f"{name} ({'; '.join(inner)})" if inner else name


def _describe_data(metadata, splits):
    """Return the lines of the metadata and of the splits' digests."""
    lines = []
    if metadata:
        told = {
            key: entry if isinstance(entry, str) else json.dumps(entry)
            for key, entry in metadata.items()
        }
        lines += [_table("metadata", told), ""]
    for name, split in splits.items():
        lines += [f"- Split {name!r}: {split['n']} names, SHA-256 `{split['sha256']}`"]
    return [*lines, ""] if splits else lines


def _render(value):
    """Return the text of a field: a table where it is a dict."""
    if isinstance(value, dict):
        return _table("", value)
    if not isinstance(value, str):
        raise InvalidDataError(
            f"A field of card must be text, or a dict for a table; got {type(value).__name__}. "
            f"Convert it."
        )
    return value


def _table(heading, mapping):
    """Return a Markdown table of names and values."""
    rows = [(heading, "value"), ("---", "---"), *mapping.items()]
    cells = [[str(cell).replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _clean(text):
    """Return the text of a card, which must not hold control characters."""
    try:
        return check_text(text)
    except ValueError as error:
        raise InvalidDataError(f"The model card cannot be stored: {error}. Remove it.") from error
