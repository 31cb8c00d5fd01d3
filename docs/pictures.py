"""Draw the landmarks that D-Markers use; run `python docs/pictures.py` to write the picture."""

from pathlib import Path

import matplotlib.pyplot as plt

from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry

PICTURE = Path(__file__).parent / "images" / "landmarks.png"
GREY = "#b4b8be"
# Colours that colour-blind readers can distinguish (Okabe and Ito).
COLOURS = {"eyelid": "#0072b2", "cheek": "#00805a", "lip": "#d55e00"}
NAMES = {"eyelid": "upper eyelids and eye corners", "cheek": "cheeks", "lip": "lip corners"}


def draw_face(ax, scheme):
    """Draw the mean face with the points and distances of each signal."""
    face = face_geometry()["neutral"][list(scheme.in_mesh), :2]
    ax.scatter(*face.T, s=900 / len(face) ** 0.9, color=GREY, linewidths=0)
    for outline in scheme.outlines:
        ax.plot(*face[list(outline)].T, color=GREY, linewidth=0.8)
    for side in ("right", "left"):
        corners = [scheme.locate(face, f"{side}_eye_{corner}") for corner in ("inner", "outer")]
        draw_points(ax, corners, "eyelid", facecolors="white")
        draw_distances(ax, corners, [scheme.locate(face, f"{side}_eye_upper")], "eyelid")
    label(ax, (0, -0.62), "eyelid")
    for signal, name in (("lip", "lip_corner"), ("cheek", "cheek")):
        if f"right_{name}" in scheme.points:
            pair = [scheme.locate(face, f"{side}_{name}") for side in ("right", "left")]
            draw_distances(ax, pair, pair, signal)
            label(ax, sum(pair) / 2 - (0, 0.13 if signal == "cheek" else -0.27), signal)
    ax.set_title(scheme.name.replace(" ", ", ") + " landmarks", fontsize=13)
    ax.axis("off")


def draw_distances(ax, pair, ends, signal):
    """Draw the distances of points from the midpoint of a pair."""
    midpoint = sum(pair) / 2
    for end in ends:
        ax.plot(*zip(midpoint, end, strict=True), color=COLOURS[signal], linewidth=2, zorder=3)
    draw_points(ax, ends, signal)
    draw_points(ax, [midpoint], signal, marker="x")


def draw_points(ax, points, signal, **style):
    """Draw points in the colour of a signal."""
    ax.scatter(*zip(*points, strict=True), s=34, color=COLOURS[signal], zorder=4, **style)


def label(ax, position, signal):
    """Write the name of the points of a signal."""
    style = {"color": COLOURS[signal], "fontsize": 13, "ha": "center", "va": "center"}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    ax.text(*position, NAMES[signal], bbox=box, zorder=5, **style)


def main():
    """Write the picture."""
    figure, axes = plt.subplots(
        1, 2, figsize=(8, 5), sharex=True, sharey=True, layout="constrained"
    )
    for ax, scheme in zip(axes, (MEDIAPIPE_478, IBUG_68), strict=True):
        draw_face(ax, scheme)
    axes[0].set(aspect="equal", ylim=axes[0].get_ylim()[::-1])
    axes[1].set_aspect("equal")
    figure.savefig(PICTURE, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
