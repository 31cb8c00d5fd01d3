from ._fusion import FUSIONS as FUSIONS
from ._fusion import list_fusions as list_fusions
from ._mesh_transformer import MeshTransformer as MeshTransformer
from ._two_stream import EncoderNetwork as EncoderNetwork
from ._two_stream import TwoStreamNetwork as TwoStreamNetwork
from ._two_stream import convert_published_state as convert_published_state
