from ._model_files import digest_names as digest_names
from ._model_files import load_model as load_model
from ._model_files import read_model_card as read_model_card
from ._model_files import read_model_info as read_model_info
from ._model_files import save_model as save_model
from ._onnx import export_onnx as export_onnx
from ._onnx import onnx_inputs as onnx_inputs
