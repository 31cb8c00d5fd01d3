from ._padding import pad_clips as pad_clips
from ._padding import sample_frames as sample_frames
from ._rates import check_fps as check_fps
from ._sequence import ClipSequence as ClipSequence
from ._sequence import check_clips as check_clips
from ._sequence import pool_clips as pool_clips
from ._sequence import read_clip as read_clip
from ._sequence import read_fps as read_fps
