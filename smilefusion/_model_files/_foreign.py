"""Parts of other packages, stored by skops where the user trusts them."""

import io
import zipfile

from smilefusion._messages import abridge
from smilefusion._model_files._container import check_entries
from smilefusion.exceptions import InvalidDataError


def full_name(cls):
    """Return the module and name of a class or function."""
    return f"{cls.__module__}.{cls.__qualname__}"


def import_skops(caller):
    """Return the module skops.io; `caller` stands in the error where it is missing."""
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            f"{caller} needs skops for parts of other packages; install smilefusion[skops]."
        ) from error
    return skops.io


def dump_foreign(value, trusted):
    """Return an object as skops stores it.

    Parameters
    ----------
    value : object
        What to store.
    trusted : sequence of str
        Full names of classes that the user trusts.

    Returns
    -------
    content : bytes
        A skops file.

    Raises
    ------
    InvalidDataError
        If skops cannot store it, or it holds further classes that are not trusted.
    """
    skops = import_skops("save_model")
    name = full_name(type(value))
    try:
        content = skops.dumps(value)
        unknown = sorted(set(skops.get_untrusted_types(data=content)) - set(trusted))
    except Exception as error:
        raise InvalidDataError(
            f"skops cannot store {name} ({error}). Save a model without it."
        ) from error
    if unknown:
        raise InvalidDataError(
            f"{name} holds {abridge(unknown)}, which trusted does not name. Add them if you "
            f"trust them: trusted={[*trusted, *unknown]}."
        )
    return content


def load_foreign(content, name, trusted):
    """Return the object that skops stored.

    Parameters
    ----------
    content : bytes
        A skops file.
    name : str
        Full name of the class that it must be of.
    trusted : sequence of str
        Full names of classes that the user trusts.

    Returns
    -------
    value : object
        The object.

    Raises
    ------
    InvalidDataError
        If the class is not trusted.
    ValueError
        If it holds something else.
    """
    if not isinstance(name, str) or name not in trusted:
        raise InvalidDataError(
            f"The model file holds {name!r:.100}, stored through skops, which is no part of the "
            f"list. If you trust who made the file, load_model(…, trusted=[{name!r:.100}])."
        )
    skops = import_skops("load_model")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_entries(archive.infolist(), len(content), allowed=_is_inner)
    unknown = sorted(set(skops.get_untrusted_types(data=content)) - set(trusted))
    if unknown:
        raise InvalidDataError(
            f"{name} in the model file holds {abridge(unknown)}, which trusted does not name. "
            f"Name them if you trust who made the file."
        )
    try:
        value = skops.loads(content, trusted=list(trusted))
    except ImportError as error:
        raise InvalidDataError(
            f"{name} cannot be imported ({error}); install the package that has it."
        ) from error
    if full_name(type(value)) != name:
        raise ValueError(f"its foreign part is no {name}")
    return value


def _is_inner(name):
    """Whether skops may have written a member of this name."""
    return name.isascii() and "/" not in name and "\\" not in name and ".." not in name
