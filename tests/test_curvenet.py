import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from smilefusion.nn._networks import SmileNetwork
from smilefusion.nn.published import _neighbourhoods
from smilefusion.nn.published._curvenet import (
    CurveNet,
)
from smilefusion.nn.published._encoder import PublishedEncoder, TransformerLayer
from smilefusion.nn.published._state_dicts import (
    convert_published_encoder_state,
    convert_published_state,
)

N_FRAMES, N_POINTS, K, N_CURVES, LENGTH = 3, 9, 3, 4, 3
TINY = {
    "embedding_dim": 16,
    "dropout": 0.0,
    "n_landmarks": 12,
    "n_neighbours": 3,
    "n_curves": 4,
    "n_tokens": 2,
    "n_heads": 2,
    "depth": 2,
    "time_depth": 1,
}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(module, *sizes, **options):
    """A module in double precision whose BatchNorms do more than normalise."""
    torch.manual_seed(0)
    built = module(*sizes, **options).double()
    for norm in built.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias)
    return built


# The published definition, point by point. `seen` holds for each BatchNorm what its running mean
# and variance become.


def normalise(rows, norm, seen):
    mean, variance = seen.get(norm, (0, 1))
    seen[norm] = 0.9 * mean + 0.1 * rows.mean(dim=0), 0.9 * variance + 0.1 * rows.var(dim=0)
    scale = norm.weight / (rows.var(dim=0, correction=0) + 1e-5).sqrt()
    return (rows - rows.mean(dim=0)) * scale + norm.bias


def leaky(values):
    return torch.where(values > 0, values, 0.2 * values)


def nearest_by_loops(points):
    """The k + 1 nearest points of each point, nearest first."""
    return [
        [
            sorted(range(N_POINTS), key=lambda q: ((p - frame[q]) ** 2).sum())[: K + 1]
            for p in frame
        ]
        for frame in points
    ]


def edges_of(points):
    nearest = nearest_by_loops(points)
    return [(f, p, q) for f in range(N_FRAMES) for p in range(N_POINTS) for q in nearest[f][p][:K]]


def positions_by_loops(layer, points, seen):
    rows = [
        layer.linear.weight @ torch.cat([points[f, p], points[f, q], points[f, q] - points[f, p]])
        for f, p, q in edges_of(points)
    ]
    return normalise(torch.stack(rows), layer.norm, seen)


def lift_by_loops(layer, points, seen):
    edges = leaky(positions_by_loops(layer.position, points, seen))
    return edges.view(N_FRAMES, N_POINTS, K, -1).amax(dim=2)


def local_by_loops(layer, features, points, seen):
    ways = torch.stack([features[f, q] - features[f, p] for f, p, q in edges_of(points)])
    edges = leaky(ways + positions_by_loops(layer.position, points, seen))
    mixed = torch.stack([layer.mix.linear.weight @ edge for edge in edges])
    mixed = leaky(normalise(mixed, layer.mix.norm, seen))
    return mixed.view(N_FRAMES, N_POINTS, K, -1).mean(dim=2)


def suppression_by_loops(come, ahead):
    norms = (come.norm() * ahead.norm()).clamp(min=1e-8)
    return (1 + come @ ahead / norms).clamp(0, 1).detach()


def momentum_by_loops(walk, feature, descriptor, seen):
    """The descriptors; the weights' memory, (2, n_curves), is read as (n_curves, 2)."""
    both = [torch.cat([feature[fm], descriptor[fm]]) for fm in feature]
    logits = torch.stack([walk.momentum.weight @ pair for pair in both])
    weights = normalise(logits, walk.momentum_norm, seen).softmax(dim=1)  # (F * M, 2)
    updated = {}
    for f, m in feature:
        memory = weights[f * N_CURVES : (f + 1) * N_CURVES].T.flatten()
        updated[f, m] = memory[2 * m] * feature[f, m] + memory[2 * m + 1] * descriptor[f, m]
    return updated


def walk_by_loops(walk, features, points, seen):
    nearest, attention = nearest_by_loops(points), (features @ walk.start.weight.T).sigmoid()
    features = features * attention
    # The order of the curves matters to their momentum; it is that of topk.
    starts = attention.squeeze(2).topk(N_CURVES, sorted=False).indices.tolist()
    point = {(f, m): starts[f][m] for f in range(N_FRAMES) for m in range(N_CURVES)}
    feature = descriptor = {(f, m): features[f, p] for (f, m), p in point.items()}
    curves = []
    for step in range(LENGTH):
        if step > 0:
            descriptor = momentum_by_loops(walk, feature, descriptor, seen)
        near = {(f, m): nearest[f][p][1:] for (f, m), p in point.items()}
        pairs = [torch.cat([features[fm[0], q], descriptor[fm]]) for fm in near for q in near[fm]]
        rows = torch.stack([walk.agent.weight @ pair for pair in pairs])
        rows = normalise(rows, walk.agent_norm, seen).view(-1, K)
        scores, chosen = dict(zip(near, rows, strict=True)), {}
        for f, m in near:
            ahead = [features[f, q] for q in near[f, m]]
            if step > 0:
                now, come = feature[f, m], feature[f, m] - descriptor[f, m]
                factors = [suppression_by_loops(come, way - now) for way in ahead]
                scores[f, m] = scores[f, m] * torch.stack(factors)
            soft = scores[f, m].softmax(dim=0)
            choice = F.one_hot(soft.argmax(), K) - soft.detach() + soft
            chosen[f, m] = sum(weight * way for weight, way in zip(choice, ahead, strict=True))
            point[f, m] = near[f, m][int(soft.argmax())]
        feature = chosen
        curves.append(torch.stack(list(feature.values())).view(N_FRAMES, N_CURVES, -1))
    return torch.stack(curves, dim=2)


def attend_by_loops(query, keys, values):
    weights = torch.stack([query @ key for key in keys]).softmax(dim=0)
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def aggregation_by_loops(layer, features, curves, seen):
    rows = []
    for frame, lines in zip(features, curves, strict=True):  # (N, C), (M, L, C)
        logits = (lines @ layer.logit.weight.T).squeeze(2)
        inter = [
            attention @ line for attention, line in zip(logits.softmax(1), lines, strict=True)
        ]
        intra = [logits[:, step].softmax(0) @ lines[:, step] for step in range(LENGTH)]
        inter = [layer.curve_key.weight @ vector for vector in inter]
        intra = [layer.position_key.weight @ vector for vector in intra]
        for point in frame:
            query = layer.query.weight @ point
            of_inter = attend_by_loops(query, inter, [layer.curve_value.weight @ v for v in inter])
            of_intra = attend_by_loops(
                query, intra, [layer.position_value.weight @ v for v in intra]
            )
            rows.append(layer.merge.linear.weight @ torch.cat([of_inter, of_intra]))
    return leaky(features + normalise(torch.stack(rows), layer.merge.norm, seen).view_as(features))


def map_by_loops(layer, features, seen):
    rows = torch.stack([layer.linear.weight @ point for point in features.flatten(0, 1)])
    return normalise(rows, layer.norm, seen).view(*features.shape[:2], -1)


def block_by_loops(block, features, points, seen):
    inner = leaky(map_by_loops(block.reduce, features, seen))
    curves = walk_by_loops(block.walk, inner, points, seen)
    inner = aggregation_by_loops(block.aggregation, inner, curves, seen)
    inner = map_by_loops(block.expand, local_by_loops(block.local, inner, points, seen), seen)
    if block.shortcut is not None:
        features = map_by_loops(block.shortcut, features, seen)
    return leaky(inner + features)


def curvenet_by_loops(network, points, seen):
    features = lift_by_loops(network.lift, points, seen)
    for block in network.blocks:
        features = block_by_loops(block, features, points, seen)
    rows = features.flatten(0, 1) @ network.output.weight.T
    rows = normalise(rows, network.output_norm, seen).relu()
    return rows.view(N_FRAMES, N_POINTS, -1).transpose(1, 2)


POINTS = draw(N_FRAMES, N_POINTS, 3, seed=1)


@pytest.fixture(params=["all frames a table", "two frames a table"])
def tables(request, monkeypatch):
    if request.param == "two frames a table":
        monkeypatch.setattr(_neighbourhoods, "CPU_TABLE", 2 * N_POINTS * K * 32)


def test_training_agrees_with_loops_in_values_gradients_and_statistics(tables):
    network, seen = make(CurveNet, 3, K, N_CURVES, LENGTH, channels=(8, 8, 16), ratios=(2, 2)), {}
    output, expected = network(POINTS), curvenet_by_loops(network, POINTS, seen)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-11)
    weights, cotangent = list(network.parameters()), draw(*output.shape, seed=4)
    gradients, others = (
        torch.autograd.grad(out, weights, cotangent) for out in (output, expected)
    )
    torch.testing.assert_close(gradients, others, rtol=1e-7, atol=1e-9)
    norms = [norm for norm in network.modules() if isinstance(norm, torch.nn.BatchNorm1d)]
    assert set(seen) == set(norms)
    for norm, (mean, variance) in seen.items():
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-9, atol=1e-11)


# The encoder of clips.


@pytest.fixture(scope="module")
def published(shared):
    """The golden network's taps, by name: what ours computes, and what the authors' did."""
    state, golden = (
        {name: torch.from_numpy(array) for name, array in np.load(path).items()}
        for path in (
            shared / "golden/hadasmilenet_state.npz",
            shared / "golden/hadasmilenet_io.npz",
        )
    )
    parts = "encoder.", "downsample.", "transformer.", "time."
    encoder = {name: entry for name, entry in state.items() if name.startswith(parts)}
    network = SmileNetwork(PublishedEncoder).eval()
    network.encoder.load_state_dict(convert_published_encoder_state(encoder))
    rest = {name: entry for name, entry in state.items() if name not in encoder}
    assert not network.load_state_dict(convert_published_state(rest), strict=False).unexpected_keys
    with torch.no_grad():
        taps = network.encoder.forward_taps(golden["clips"])
        logit = network(dmarker=golden["dmarkers"], landmarks=golden["clips"])
    ours = {
        "encoder_frame0": taps["encoder"][0],
        "tokens_frame0": taps["tokens"][0, 0],
        "space_time": taps["space_time"],
        "deep": taps["deep"],
        "probability": logit.sigmoid(),
    }
    return {name: (tap, golden[name]) for name, tap in ours.items()}


@pytest.mark.parametrize(
    "tap", ["encoder_frame0", "tokens_frame0", "space_time", "deep", "probability"]
)
def test_published_weights_give_the_published_values(published, tap):
    ours, golden = published[tap]
    assert ours.shape == golden.shape
    assert (ours - golden).abs().max() < 1e-4 * golden.abs().max()


@pytest.fixture
def encoder():
    return make(PublishedEncoder, **TINY)


CLIPS = draw(3, 5, 12, 3, seed=7)
MASK = torch.tensor(
    [[True] * 5, [False, True, True, False, True], [True, True, False, False, False]]
)


def test_frames_without_a_face_do_not_influence_the_embedding(encoder):
    hidden = CLIPS.masked_fill(~MASK[..., None, None], torch.nan)
    encoder.eval()
    torch.testing.assert_close(encoder(hidden, MASK), encoder(CLIPS, MASK), rtol=0, atol=0)


@pytest.mark.parametrize("small_tokens", [False, True])
def test_frames_without_a_face_do_not_influence_training(small_tokens):
    sizes = TINY | {"small_tokens": small_tokens, "embedding_dim": 32, "n_heads": 2}
    encoders = [make(PublishedEncoder, **sizes) for _ in range(2)]
    hidden = CLIPS.masked_fill(~MASK[..., None, None], torch.nan)
    for encoder, clips in zip(encoders, (CLIPS, hidden), strict=True):
        encoder(clips, MASK).square().sum().backward()
    for ours, other in zip(encoders[0].parameters(), encoders[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, other.grad, rtol=0, atol=0)
    for ours, other in zip(encoders[0].buffers(), encoders[1].buffers(), strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=0)


def test_batch_statistics_are_of_frames_with_a_face(encoder):
    other = copy.deepcopy(encoder)
    encoder(CLIPS, MASK)
    other(CLIPS[MASK].unsqueeze(0))  # one clip, of these frames alone
    for ours, theirs in zip(encoder.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_clip_without_any_face_has_the_embedding_zero(encoder):
    encoder.eval()
    faceless = MASK & torch.tensor([[True], [False], [True]])
    embedding = encoder(CLIPS, faceless)
    assert torch.equal(embedding[1], torch.zeros(16, dtype=torch.float64))
    torch.testing.assert_close(embedding[[0, 2]], encoder(CLIPS, MASK)[[0, 2]])
    assert torch.equal(encoder(CLIPS, torch.zeros_like(MASK)), torch.zeros_like(embedding))


def test_clips_are_encoded_apart(encoder):
    encoder.eval()
    apart = [encoder(CLIPS[clip : clip + 1], MASK[clip : clip + 1]) for clip in range(3)]
    torch.testing.assert_close(encoder(CLIPS, MASK), torch.cat(apart))


def test_order_of_frames_matters_in_a_clip(encoder):
    encoder.eval()
    assert (encoder(CLIPS) - encoder(CLIPS.flip(1))).abs().max() > 1e-3


@pytest.mark.parametrize("small_tokens", [False, True])
def test_mixed_precision_leaves_curvenet_alone(small_tokens):
    sizes = TINY | {"small_tokens": small_tokens, "embedding_dim": 32}
    encoder, clips = make(PublishedEncoder, **sizes).float(), CLIPS.float()
    other = copy.deepcopy(encoder)
    with torch.autocast("cpu", torch.bfloat16):
        taps = encoder.forward_taps(clips, MASK)
    expected = other.forward_taps(clips, MASK)
    assert torch.equal(taps["encoder"], expected["encoder"])
    for ours, theirs in zip(encoder.curvenet.buffers(), other.curvenet.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    deep, difference = expected["deep"], (taps["deep"] - expected["deep"]).abs().max()
    assert 0 < difference < 0.05 * deep.abs().max()
    taps["deep"].sum().backward()
    assert all(weight.grad.dtype == torch.float32 for weight in encoder.parameters())


def test_mixed_precision_tells_late_positions_apart():
    layer, attending = make(TransformerLayer, 16, 2, 32, dropout=0.0).float(), []
    layer.query_key_value.register_forward_pre_hook(lambda _, given: attending.append(given[0]))
    tokens = draw(1, 250, 16).bfloat16()
    layer(tokens.float())
    with torch.autocast("cpu", torch.bfloat16):
        layer(tokens)
    assert (attending[1] - attending[0]).abs().max() < 0.1


def n_parameters(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fusion": "hadamard"}, 5_151_569),
        ({"fusion": "concat"}, 5_151_313),
        ({"fusion": "gated_concat"}, 5_217_105),
        ({"fusion": "attention", "fusion_params": {"context": "dmarker"}}, 5_348_945),
        ({"fusion": "bilinear", "small_tokens": True}, 20_874_033),
        ({"fusion": "factorized_bilinear", "small_tokens": True}, 4_491_057),
        ({"dmarkers": "auxiliary", "dmarker_dim": 216}, 4_952_361),  # DeepMarkerNet
        ({"dmarkers": "none"}, 4_896_337),  # MeshSmileNet
    ],
)
def test_networks_have_the_published_numbers_of_parameters(options, expected):
    with torch.device("meta"):
        assert n_parameters(SmileNetwork(PublishedEncoder, **options)) == expected


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_landmarks": 68}, "at least 100 landmarks, for 100 curves .* got 68"),
        ({"n_landmarks": 20, "n_curves": 5}, "at least 21 landmarks, .* got 20"),
        ({"embedding_dim": 18}, "even multiple of n_heads=4; got 18"),
        ({"embedding_dim": 9, "n_heads": 3}, "even multiple of n_heads=3; got 9"),
        ({"embedding_dim": 16, "small_tokens": True}, "n_heads=4; got 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        PublishedEncoder(**sizes)
