from ._stream import SmileStream as SmileStream
from ._stream import StreamedSmile as StreamedSmile
from ._stream import StreamFrame as StreamFrame
