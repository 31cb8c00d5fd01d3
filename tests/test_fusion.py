import numpy as np
import pytest
import torch

from smilefusion import list_fusions
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn._networks import TwoStreamNetwork, get_fusion
from smilefusion.nn.published._state_dicts import convert_published_state

# Parameters of fusion and head as published, 256-dimensional embedding and 225 D-Markers.
PUBLISHED_PARAMETERS = {
    "concat": 255_745,
    "gated_concat": 321_537,
    "additive": 389_891,
    "hadamard": 256_001,
    "hadamard_gated_concat": 387_329,
    "attention": 453_377,
    "cross_attention": 453_377,
    "multihead_attention": 518_401,
    "multihead_cross_attention": 321_025,
    "film": 650_241,
    "film_hadamard": 650_753,
    "bilinear": 17_033_985,
    "bilinear_hadamard": 17_099_777,
    "factorized_bilinear": 651_009,
    "factorized_bilinear_hadamard": 716_801,
}
ATTENTION = [key for key in FUSIONS if "attention" in key]
GOLDEN = [key for key in FUSIONS if key not in ("bilinear", "bilinear_hadamard")]
# The published film strategy ends in a ReLU; the largest differences seen are about 3e-7.
TOLERANCE = 1e-5


def published_network(key):
    params = {"context": "dmarker"} if key in ATTENTION else None
    return TwoStreamNetwork(key, 256, 225, fusion_params=params).eval()


def test_registry_has_the_15_keys_in_published_order():
    assert list_fusions() == list(PUBLISHED_PARAMETERS)


@pytest.mark.parametrize("key", FUSIONS)
def test_fusion_parameter_count_is_as_published(key):
    n_parameters = sum(p.numel() for p in TwoStreamNetwork(key, 256, 225).parameters())
    assert n_parameters == PUBLISHED_PARAMETERS[key]


@pytest.mark.parametrize("key", GOLDEN)
def test_fusion_reproduces_the_published_probabilities(key, shared):
    golden = np.load(shared / "golden" / f"fusion_{key}.npz")
    state = {
        name.removeprefix("state."): torch.from_numpy(golden[name])
        for name in golden.files
        if name.startswith("state.")
    }
    network = published_network(key)
    network.load_state_dict(convert_published_state(state), strict=True)
    with torch.no_grad():
        logit = network(torch.from_numpy(golden["deep"]), torch.from_numpy(golden["dmarker"]))
    np.testing.assert_allclose(torch.sigmoid(logit), golden["probability"], rtol=TOLERANCE)


@pytest.mark.parametrize("key", ["bilinear", "bilinear_hadamard"])
def test_bilinear_fusion_equals_its_formula(key):
    torch.manual_seed(0)
    fusion = FUSIONS[key](6, 5, dim=4).eval()
    deep, dmarker = torch.randn(3, 6), torch.randn(3, 5)
    u, z = fusion.deep_projection(deep), fusion.dmarker_projection(dmarker)
    pooled = fusion.bilinear(u, z)
    if key == "bilinear_hadamard":
        pooled = torch.relu(fusion.mixing[0](pooled + u * z))
    torch.testing.assert_close(fusion(deep, dmarker), fusion.mlp(pooled))


def output_moves(network, stream):
    """Whether a change of one stream changes the network's output."""
    generator = torch.Generator().manual_seed(1)
    streams = [torch.randn(8, 20, generator=generator), torch.randn(8, 12, generator=generator)]
    moved = list(streams)
    moved[stream] = torch.randn(streams[stream].shape, generator=generator)
    with torch.no_grad():
        return not torch.allclose(network(*streams), network(*moved), atol=1e-6)


@pytest.mark.parametrize("key", FUSIONS)
def test_fusion_output_moves_with_either_stream(key):
    torch.manual_seed(0)
    network = TwoStreamNetwork(key, 20, 12, dim=16).eval()
    assert output_moves(network, 0)
    assert output_moves(network, 1)


@pytest.mark.parametrize("key", ATTENTION)
def test_published_one_key_attention_ignores_the_deep_stream(key):
    torch.manual_seed(0)
    network = TwoStreamNetwork(key, 20, 12, dim=16, fusion_params={"context": "dmarker"}).eval()
    assert not output_moves(network, 0)
    assert output_moves(network, 1)


def test_unknown_fusion_names_the_nearest_key():
    with pytest.raises(ValueError, match=r"one of concat, .*Did you mean 'hadamard'\?"):
        get_fusion("hadamart")


def test_fusion_instance_is_refused():
    with pytest.raises(TypeError, match="Pass the class itself"):
        get_fusion(FUSIONS["concat"](4, 4))


def test_unknown_attention_context_is_refused():
    with pytest.raises(ValueError, match="'both'.*'dmarker'.*got 'deep'"):
        FUSIONS["attention"](4, 4, dim=4, context="deep")


def test_attention_heads_must_divide_the_size():
    with pytest.raises(ValueError, match="multiple of 4, the number of attention heads; got 6"):
        FUSIONS["multihead_attention"](4, 4, dim=6)
