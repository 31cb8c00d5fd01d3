from ._amplitude import amplitude_signals as amplitude_signals
from ._transformer import DMarkerTransformer as DMarkerTransformer
