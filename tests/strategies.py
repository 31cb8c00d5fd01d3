"""Hypothesis strategies: altered files, clips, labels, groups, and values of any kind."""

import json

import numpy as np
from hypothesis import strategies as st

# What users pass by mistake: numbers, texts, and nested lists of them.
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
dtypes = st.sampled_from(("f2", "f4", "f8", ">f4", "i4", "u1", "?", "c8", "U3", "M8[s]", "O"))


@st.composite
def altered(draw, content):
    """Draw a file with bytes flipped, cut out, put in, doubled or zeroed."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, min(len(changed), draw(st.sampled_from((150, 10**9))))))
        length = draw(st.sampled_from((1, 4, 100)))
        part = bytes(changed[place : place + length])
        changed[place : place + length] = draw(
            st.sampled_from((b"", part + part, bytes(len(part)), bytes(b ^ 16 for b in part)))
            | st.binary(max_size=8)
        )
    return bytes(changed)


@st.composite
def altered_table(draw, content):
    """Draw a CSV file with a column dropped, doubled, moved, renamed, retyped or cut off."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    place = draw(st.integers(0, len(rows[0]) - 1))
    cell = draw(st.sampled_from(("", "x", "7", "nan", "frame", "[]", '"')))
    edit = draw(st.sampled_from(("drop", "double", "move", "rename", "retype", "cut off")))
    for number, row in enumerate(rows):
        if edit == "drop":
            del row[place]
        elif edit == "double":
            row.insert(place, row[place])
        elif edit == "move":
            row.insert(0, row.pop(place))
        elif (edit, number) in (("rename", 0), ("retype", 1)):
            row[place] = cell
        elif (edit, number) == ("cut off", 1):
            del row[place:]
    return "\n".join(map(",".join, rows)).encode()


@st.composite
def altered_json(draw, content):
    """Draw a JSON file with a value, at any depth, dropped, nested, doubled or replaced."""
    root = [json.loads(content)]
    parent, key = root, 0
    while isinstance(parent[key], dict | list) and parent[key] and draw(st.booleans()):
        parent = parent[key]
        key = draw(
            st.sampled_from(list(parent if isinstance(parent, dict) else range(len(parent))))
        )
    edit = draw(st.sampled_from(("drop", "nest", "double", "replace")))
    if edit == "drop" and parent is not root:
        del parent[key]
    elif edit == "double" and isinstance(parent, dict):
        parent[draw(st.text(max_size=5))] = parent[key]
    else:
        parent[key] = [parent[key]] if edit == "nest" else draw(anything)
    return json.dumps(root[0]).encode()


@st.composite
def arrays(draw):
    """Draw an array of any shape and dtype, with odd values where it holds floats."""
    shape = draw(st.lists(st.integers(0, 4), max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    array = rng.integers(0, 9, shape).astype(draw(dtypes))
    if array.dtype.kind == "f" and array.size:
        place = draw(st.integers(0, array.size - 1))
        array.reshape(-1)[place:] = draw(st.sampled_from((np.nan, np.inf, 6e4, 0)))
    return array


@st.composite
def clips(draw, n_landmarks=478, n_dims=3):
    """Draw a valid clip: any faces, some frames without one, in units of any size."""
    n_frames = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    size = draw(st.sampled_from((0.0, 1e-30, 1.0, 1e6, 1e30)))
    clip = size * rng.normal(size=(n_frames, n_landmarks, n_dims))
    missing = draw(st.sets(st.integers(0, n_frames - 1), max_size=n_frames - 1))
    clip[list(missing)] = np.nan
    return clip.astype(draw(st.sampled_from(("f4", "f8"))))
