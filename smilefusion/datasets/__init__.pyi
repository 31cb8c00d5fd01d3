from ._folder import load_clips as load_clips
from ._simulated import make_smiles as make_smiles
