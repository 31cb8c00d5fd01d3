"""Find the start and end of smiles in the lip amplitude, frame by frame."""

from smilefusion.dmarkers._phases import MIN_JITTERS, MIN_LEVEL

# A smile is reported above a level of the lips; it starts at the last frame below half of it.
START_FRACTION = 0.5
# A smile can end when the lips have returned by 70 % or more: people do not return to their former
# rest at once (4 to 7 % of the smile remain on average, sometimes a quarter), and an apex rarely
# dips by more than half of the smile.
FALLEN = 0.3
# It then ends when the lips do not fall further for this time in seconds, or when they rise again
# to this fraction of the smile, which starts another one.
SETTLE_SECONDS = 0.3
RISEN = 0.5
_ROUNDING = 1e-9  # of times in seconds


class SmileTracker:
    """Track the lip amplitude of one face and report when smiles start and end."""

    def __init__(self, *, min_amplitude: float, min_duration: float) -> None:
        self._min_amplitude = min_amplitude
        self._min_duration = min_duration
        self.forget()

    def forget(self) -> None:
        """Forget the face and its smile."""
        self.smiling = False
        self.start = self.end = -1  # unknown
        self._since: float | None = None  # time since which the lips have been spread
        self._base = self._peak = self._least = 0.0
        self._settled_since = 0.0

    @property
    def is_neutral(self) -> bool:
        """Whether the face was at rest in the last frame."""
        return not self.smiling and self._since is None

    def update(self, number: int, time: float, lip: float, jitter: float) -> str | None:
        """Process the next frame; return "start", "settled", "risen", "back" or None."""
        if self.smiling:
            return self._follow(number, time, lip, jitter)
        level = max(self._min_amplitude, MIN_JITTERS * jitter)
        if lip <= self._base + START_FRACTION * level or self.start < 0:
            self.start = number
        if lip < self._base + level:
            risen, self._since, self._base = self._base != 0, None, 0.0
            return "back" if risen else None
        if self._since is None:
            self._since, self._peak = time, lip
        self._peak = max(self._peak, lip)
        if time - self._since < self._min_duration - _ROUNDING:
            return None
        self.smiling, self.end = True, -1
        return "start"

    def _follow(self, number: int, time: float, lip: float, jitter: float) -> str | None:
        """Process the next frame of a smile."""
        self._peak = max(self._peak, lip)
        height = self._peak - self._base
        if self.end < 0:
            if lip < self._base + FALLEN * height:
                self.end, self._least, self._settled_since = number, lip, time
            return None
        if lip < self._least - max(MIN_LEVEL * height, 2 * jitter):
            self.end, self._least, self._settled_since = number, lip, time
        if time - self._settled_since >= SETTLE_SECONDS - _ROUNDING:
            self.smiling, self._since, self._base = False, None, 0.0
            self.start = number
            return "settled"
        if lip >= self._base + RISEN * height:
            self.smiling, self._since, self._base = False, time, self._least
            self.start, self._peak = self.end, lip
            return "risen"
        return None
