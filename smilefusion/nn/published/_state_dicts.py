"""State dicts of the authors' networks, renamed to ours."""

from collections.abc import Mapping

import torch
from torch import Tensor

from smilefusion.nn.published._encoder import PublishedEncoder

# Parts of our names, and the same parts of the authors' names, replaced in this order.
_ENCODER_NAMES = (
    (".mlp.", ".1.fn.net."),
    (".linear.", ".0."),
    (".norm.", ".1."),
    ("curvenet.lift.position", "encoder.lpfa.mlp.0"),
    ("curvenet.blocks.0", "encoder.cic11"),
    ("curvenet.blocks.1", "encoder.cic12"),
    ("curvenet.blocks.2", "encoder.cic21"),
    ("curvenet.blocks.3", "encoder.cic22"),
    ("curvenet.output_norm", "encoder.conv0.1"),
    ("curvenet.output", "encoder.conv0.0"),
    ("reduce", "conv1"),
    ("expand", "conv2"),
    ("local.position", "lpfa.xyz2feature"),
    ("local.mix", "lpfa.mlp.0"),
    ("walk.start", "curvegrouping.att"),
    ("walk.agent_norm", "curvegrouping.walk.agent_mlp.1"),
    ("walk.agent.", "curvegrouping.walk.agent_mlp.0."),
    ("walk.momentum_norm", "curvegrouping.walk.momentum_mlp.1"),
    ("walk.momentum.", "curvegrouping.walk.momentum_mlp.0."),
    ("aggregation.logit", "curveaggregation.line_conv_att"),
    ("aggregation.query", "curveaggregation.convc"),
    ("aggregation.curve_key", "curveaggregation.conva"),
    ("aggregation.curve_value", "curveaggregation.convn"),
    ("aggregation.position_key", "curveaggregation.convb"),
    ("aggregation.position_value", "curveaggregation.convl"),
    ("aggregation.merge", "curveaggregation.convd"),
    ("mixing_norm", "downsample.1"),
    ("mixing", "downsample.0"),
    ("token_layers", "transformer.layers"),
    ("time_layers", "time.layers"),
    ("attention_norm", "0.norm"),
    ("query_key_value", "0.fn.to_qkv"),
    ("attention_output", "0.fn.to_out.0"),
    ("mlp_norm", "1.norm"),
)
_ENCODER_PARTS = ("encoder.", "downsample.", "transformer.", "time.")
# Prefixes of the authors' names and of ours, longest first.
_PUBLISHED_PREFIXES = (
    ("attention_fusion.query_proj.", "fusion.query."),
    ("attention_fusion.key_proj.", "fusion.key."),
    ("attention_fusion.value_proj.", "fusion.value."),
    ("cross_attention_fusion.query_proj.", "fusion.query."),
    ("cross_attention_fusion.key_proj.", "fusion.key."),
    ("cross_attention_fusion.value_proj.", "fusion.value."),
    ("mha_fusion.to_q.", "fusion.attention.query."),
    ("mha_fusion.to_k.", "fusion.attention.key."),
    ("mha_fusion.to_v.", "fusion.attention.value."),
    ("mha_fusion.to_out.", "fusion.attention.output."),
    ("cross_attn.to_q.", "fusion.attention.query."),
    ("cross_attn.to_out.", "fusion.attention.output."),
    ("film_generator.network.", "fusion.modulation."),
    ("film_generator.", "fusion.modulation."),
    ("pre_film_norm.", "fusion.deep_norm."),
    ("bilinear.bilinear.", "fusion.bilinear."),
    ("bilinear.projection1.", "fusion.deep_factor."),
    ("bilinear.projection2.", "fusion.dmarker_factor."),
    ("bilinear.fc.", "fusion.output."),
    ("combine_layer.", "fusion.mixing."),
    ("fusion_weights.0.", "fusion.stream_weights."),
    ("gate_linear.", "fusion.gate."),
    ("dmarker_proj.", "fusion.dmarker_projection."),
    ("x_proj.", "fusion.deep_projection."),
    ("fusion_mlp.", "fusion.mlp."),
    ("smile_head.", "head."),
)


def convert_published_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' fusion and head weights to those of `TwoStreamNetwork`.

    Parameters
    ----------
    state : dict of str to tensor
        State dict with the names of the published code.

    Returns
    -------
    converted : dict of str to tensor
        The same tensors under the names of a `TwoStreamNetwork` built with
        ``fusion_params={"context": "dmarker"}`` for strategies with attention.

    Raises
    ------
    ValueError
        If a name does not belong to any published strategy.
    """
    converted = {}
    for name, tensor in state.items():
        if name == "cross_attn.to_kv.weight":
            key, value = tensor.chunk(2, dim=0)
            converted["fusion.attention.key.weight"] = key
            converted["fusion.attention.value.weight"] = value
            continue
        prefix, ours = next((p for p in _PUBLISHED_PREFIXES if name.startswith(p[0])), (None, ""))
        if prefix is None:
            raise ValueError(
                f"Entry {name!r} does not belong to any published fusion strategy. Pass only the "
                "entries of the fusion and the head."
            )
        rest = name.removeprefix(prefix)
        if prefix == "fusion_mlp.":
            index, _, kind = rest.partition(".")
            rest = f"{int(index) + _mlp_shift(state)}.{kind}"
        converted[ours + rest] = tensor
    return converted


def convert_published_encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' weights of the encoder to those of `PublishedEncoder`."""
    with torch.device("meta"):
        expected = PublishedEncoder().state_dict()
    names = {ours: _published_name(ours) for ours in expected}
    unknown = set(state).difference(names.values())
    _raise_for("unknown", [name for name in unknown if not name.endswith(".pos_embedding.pe")])
    state = {
        name: torch.tensor(0) for name in names.values() if name.endswith("num_batches_tracked")
    } | dict(state)
    _raise_for("missing", [name for name in names.values() if name not in state])
    wrong = [
        f"{name} {tuple(state[name].shape)}"
        for ours, name in names.items()
        if state[name].squeeze().shape != expected[ours].squeeze().shape
    ]
    _raise_for("misshapen", wrong)
    return {ours: state[name].reshape(expected[ours].shape) for ours, name in names.items()}


def convert_published_network_state(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Rename the authors' weights of a whole network to those of `SmileNetwork`."""
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    parts = {name: entry for name, entry in state.items() if name.startswith(_ENCODER_PARTS)}
    encoder = convert_published_encoder_state(parts)
    converted = {f"encoder.{name}": entry for name, entry in encoder.items()}
    converted |= convert_published_state(
        {name: entry for name, entry in state.items() if name not in parts}
    )
    _raise_for("unknown", [_published_head_name(n, state) for n in set(converted) - set(expected)])
    _raise_for("missing", [_published_head_name(n, state) for n in set(expected) - set(converted)])
    wrong = [
        f"{_published_head_name(name, state)} {tuple(converted[name].shape)}"
        for name, entry in expected.items()
        if converted[name].shape != entry.shape
    ]
    _raise_for("misshapen", wrong)
    return converted


def _mlp_shift(state: Mapping[str, Tensor]) -> int:
    """Return the offset from the authors' layer numbers of the refinement MLP to ours."""
    # Published MLPs without a leading LayerNorm count from 0 at their first Linear.
    return 0 if "fusion_mlp.1.weight" in state else 1


def _published_head_name(name: str, state: Mapping[str, Tensor]) -> str:
    """Return the authors' name of an entry of fusion or head; prefer names in the file."""
    if name.startswith("fusion.mlp."):
        index, _, kind = name.removeprefix("fusion.mlp.").partition(".")
        return f"fusion_mlp.{int(index) - _mlp_shift(state)}.{kind}"
    candidates = [
        published + name.removeprefix(ours)
        for published, ours in _PUBLISHED_PREFIXES
        if name.startswith(ours)
    ]
    return next((name for name in candidates if name in state), candidates[0])


def _published_name(name: str) -> str:
    """Return the authors' name of an entry of the state dict."""
    for ours, published in _ENCODER_NAMES:
        name = name.replace(ours, published)
    return name


def _raise_for(fault: str, names: list[str]) -> None:
    """Raise if entries are faulty; list them under the authors' names."""
    if names:
        listed = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
        raise ValueError(
            f"{len(names)} {fault}: {listed}. Pass the state dict of a published network with "
            "the same strategy, but not a bilinear one."
        )
