"""Start and end of smiles, found in the lip amplitude while it comes in."""

from smilefusion.dmarkers._phases import MIN_JITTERS, MIN_LEVEL

# A smile is announced above a level of the lips and dated back to the last frame below half of it.
START_FRACTION = 0.5
# A smile can end where the lips have gone back by 70 % of it or more: people do not return to
# their former rest at once (4 to 7 % of the smile are left in the mean, a quarter at times), and
# dips of an apex seldom take more than half of it.
FALLEN = 0.3
# Then it has ended when the lips have fallen no further for this time, in seconds, or when they
# are up again to this fraction of it, which begins another smile.
SETTLE_SECONDS = 0.3
RISEN = 0.5
_ROUNDING = 1e-9  # of times in seconds


class SmileTracker:
    """Follow the lip amplitude of one face and tell when smiles start and end.

    Parameters
    ----------
    min_amplitude : float
        Least amplitude of a smile, in mouth widths at rest.
    min_duration : float
        Least time in seconds above it.

    Attributes
    ----------
    smiling : bool
        Whether a smile has started and not ended.
    start, end : int or None
        Number of the last frame at rest before the smile, and of the one in which the lips had
        fallen.
    """

    def __init__(self, *, min_amplitude, min_duration):
        self._min_amplitude = min_amplitude
        self._min_duration = min_duration
        self.forget()

    def forget(self):
        """Forget the face: no smile, and nothing before."""
        self.smiling = False
        self.start = self.end = None
        self._since = None  # time from which on the lips are spread
        self._base = self._peak = self._least = 0.0
        self._settled_since = 0.0

    @property
    def is_neutral(self):
        """Whether the last frame is one of rest."""
        return not self.smiling and self._since is None

    def update(self, number, time, lip, jitter):
        """Take the next frame.

        Parameters
        ----------
        number : int
            Number of the frame.
        time : float
            Its time in seconds.
        lip : float
            Lip amplitude in mouth widths at rest.
        jitter : float
            Standard deviation of the lips' frame-to-frame jitter at rest.

        Returns
        -------
        event : {"start", "settled", "risen", "back"} or None
            A smile has started; or ended, the lips having come to rest, or risen again; or
            they rose again, but too shortly, and are back at rest.
        """
        if self.smiling:
            return self._follow(number, time, lip, jitter)
        level = max(self._min_amplitude, MIN_JITTERS * jitter)
        if lip <= self._base + START_FRACTION * level or self.start is None:
            self.start = number
        if lip < self._base + level:
            risen, self._since, self._base = self._base != 0, None, 0.0
            return "back" if risen else None
        if self._since is None:
            self._since, self._peak = time, lip
        self._peak = max(self._peak, lip)
        if time - self._since < self._min_duration - _ROUNDING:
            return None
        self.smiling, self.end = True, None
        return "start"

    def _follow(self, number, time, lip, jitter):
        """Take the next frame of a smile."""
        self._peak = max(self._peak, lip)
        height = self._peak - self._base
        if self.end is None:
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
