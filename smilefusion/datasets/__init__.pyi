from ._folder import load_clips as load_clips
from ._published import load_bbc as load_bbc
from ._published import load_mmi as load_mmi
from ._published import load_spos as load_spos
from ._published import load_uva_nemo as load_uva_nemo
from ._published_folds import PublishedFolds as PublishedFolds
from ._simulated import make_smiles as make_smiles
from ._streams import make_smile_stream as make_smile_stream
