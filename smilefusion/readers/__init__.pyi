from ._read_clips import read_clips as read_clips
from ._read_csv import read_mediapipe_csv as read_mediapipe_csv
from ._read_csv import read_openface_csv as read_openface_csv
