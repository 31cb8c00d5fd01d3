from ._blendshapes import BLENDSHAPE_NAMES as BLENDSHAPE_NAMES
from ._blendshapes import blendshapes as blendshapes
from ._extractor import FaceMeshExtractor as FaceMeshExtractor
from ._playable import PlayableVideo as PlayableVideo
from ._playable import make_playable as make_playable
