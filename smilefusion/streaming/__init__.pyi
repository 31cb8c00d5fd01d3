from ._records import StreamedSmile as StreamedSmile
from ._records import StreamFrame as StreamFrame
from ._stream import SmileStream as SmileStream
