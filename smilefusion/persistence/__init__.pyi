from ._files import digest_names as digest_names
from ._files import load_model as load_model
from ._files import read_model_card as read_model_card
from ._files import read_model_info as read_model_info
from ._files import save_model as save_model
from ._onnx import export_onnx as export_onnx
from ._onnx import onnx_inputs as onnx_inputs
