"""Input tags of estimators on clips."""

from dataclasses import dataclass

from sklearn.utils import InputTags


@dataclass(slots=True)
class ClipInputTags(InputTags):
    """Input tags for clips instead of tables.

    An estimator declares them in ``__sklearn_tags__``: ``tags.input_tags = ClipInputTags()``.
    Unlike the defaults of scikit-learn, they allow three-dimensional arrays and missing frames
    (NaN), but no tables.

    Parameters
    ----------
    one_d_array : bool, default=False
        Whether X may be a one-dimensional array of numbers.
    two_d_array : bool, default=False
        Whether X may be a table.
    three_d_array : bool, default=True
        Whether an entry of X may be an array with three axes, a clip.
    sparse : bool, default=False
        Whether X may be sparse.
    categorical : bool, default=False
        Whether X may hold categories.
    string : bool, default=False
        Whether X may hold text other than paths.
    dict : bool, default=False
        Whether X may hold dictionaries.
    positive_only : bool, default=False
        Whether coordinates must be positive.
    allow_nan : bool, default=True
        Whether frames may be missing.
    pairwise : bool, default=False
        Whether X holds distances.
    invariances : tuple of str, default=()
        Changes of the coordinates that do not change the output: "translation", "scale",
        "rotation" (in the image plane) and "mirror" (left and right exchanged).
        `smilefusion.testing` checks them.

    Examples
    --------
    >>> from smilefusion import DMarkerTransformer
    >>> from sklearn.utils import get_tags
    >>> get_tags(DMarkerTransformer()).input_tags.invariances
    ('translation', 'scale', 'rotation', 'mirror')
    """

    two_d_array: bool = False
    three_d_array: bool = True
    allow_nan: bool = True
    invariances: tuple[str, ...] = ()
