"""Model cards in Markdown: what a model is, how it was trained, and its intended use."""

import json
from collections.abc import Mapping
from typing import Any

from smilefusion._messages import LAW, abridge
from smilefusion.exceptions import InvalidDataError
from smilefusion.persistence._container import check_text

# The fields of a card, their headings, and their text if they are not given.
CARD_FIELDS: dict[str, tuple[str | None, str | None]] = {
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
        "people. It may be less accurate on other people, cameras, frame rates or ways of posing "
        "than those of the training clips. Only a test on people it was not trained on shows how "
        "accurate it is.",
    ),
    "law": ("Law", LAW),
}


def write_card(
    model: Any, card: Mapping[str, Any] | str | None, header: dict[str, Any], n_numbers: int
) -> str:
    """Return a model card: the given text, or a text from the given fields and the model."""
    if isinstance(card, str):
        return _clean(card)
    fields = dict(card or {})
    unknown = [str(key) for key in fields if key not in CARD_FIELDS]
    if unknown:
        raise InvalidDataError(
            f"card has no field {abridge(unknown)}. Use {', '.join(CARD_FIELDS)}, or give the "
            f"whole text."
        )
    lines = [f"# Model card: {type(model).__name__}", ""]
    if "summary" in fields:
        lines += [_render(fields["summary"]), ""]
    lines += ["## Model", "", f"- Components: {_describe(model)}"]
    classes = getattr(model, "classes_", None)
    if classes is not None:
        lines.append(f"- Classes: {abridge(classes, 20)}")
    lines += [f"- Stored numbers: {n_numbers:,}", ""]
    for name, (heading, default) in CARD_FIELDS.items():
        if heading is not None:
            lines += [f"## {heading}", "", _render(fields.get(name, default)), ""]
        if name == "data":
            lines += _describe_data(header["metadata"], header["splits"])
    lines += ["## Versions", "", _table("package", header["versions"]), ""]
    return _clean("\n".join(lines))


def _describe(model: Any) -> str:
    name = type(model).__name__
    parts = getattr(model, "steps", None) or getattr(model, "transformer_list", None) or ()
    if hasattr(model, "best_estimator_"):
        parts = [("best_estimator_", model.best_estimator_)]
    inner = [f"{label}: {_describe(part)}" for label, part in parts if hasattr(part, "get_params")]
    return f"{name} ({'; '.join(inner)})" if inner else name


def _describe_data(metadata: dict[str, Any], splits: dict[str, Any]) -> list[str]:
    lines = []
    if metadata:
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
        lines += [_table("metadata", texts), ""]
    for name, split in splits.items():
        lines += [f"- Split {name!r}: {split['n']} names, SHA-256 `{split['sha256']}`"]
    return [*lines, ""] if splits else lines


def _render(value: Any) -> str:
    """Return the text of a field; a dict becomes a table."""
    if isinstance(value, dict):
        return _table("", value)
    if not isinstance(value, str):
        raise InvalidDataError(
            f"A field of card must be text or a dict; got {type(value).__name__}. Convert it."
        )
    return value


def _table(heading: str, mapping: Mapping[str, Any]) -> str:
    rows = [(heading, "value"), ("---", "---"), *mapping.items()]
    cells = [[str(cell).replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _clean(text: str) -> str:
    """Return the text of a card; raise if it has control characters."""
    try:
        return check_text(text)
    except ValueError as error:
        raise InvalidDataError(
            f"The model card cannot be stored, because {error}. Remove the character."
        ) from error
