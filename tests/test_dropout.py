import numpy as np
import pytest
import torch

from smilefusion.nn._dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999999])
def test_dropout_sets_elements_to_zero_with_its_probability(p):
    torch.manual_seed(0)
    dropped = (Dropout(p)(torch.ones(1000, 1003)) == 0).double().mean()
    np.testing.assert_allclose(dropped, p, atol=4 * np.sqrt(p * (1 - p) / 1e6) + 2**-16)


def test_dropout_keeps_the_expectation():
    torch.manual_seed(0)
    values = Dropout(0.1)(torch.ones(2_000_000, dtype=torch.float64))
    np.testing.assert_allclose(values.mean(), 1, atol=4 * np.sqrt(0.1 / 0.9 / 2e6))
    assert len(values.unique()) == 2


def test_dropout_draws_each_element_alone():
    torch.manual_seed(0)
    kept = Dropout(0.5)(torch.ones(4, 100_000)) > 0
    pairs = np.corrcoef(kept.numpy())[np.triu_indices(4, 1)]
    neighbours = np.corrcoef(kept[:, :-1].flatten(), kept[:, 1:].flatten())[0, 1]
    assert np.abs([*pairs, neighbours]).max() < 4 / np.sqrt(100_000)


def test_dropout_passes_gradients_of_kept_elements_scaled_alike():
    torch.manual_seed(0)
    values = torch.randn(50, 7, requires_grad=True)
    output = Dropout(0.3)(values)
    output.sum().backward()
    torch.testing.assert_close(output, values * values.grad)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_changes_nothing_without_a_probability_or_training(training):
    values = torch.randn(5, 3)
    layer = Dropout(0.0 if training else 0.5).train(training)
    torch.testing.assert_close(layer(values), values, rtol=0, atol=0)


def test_dropout_repeats_with_the_seed():
    torch.manual_seed(1)
    first = Dropout(0.5)(torch.ones(5, 3, 2))
    torch.manual_seed(1)
    torch.testing.assert_close(Dropout(0.5)(torch.ones(5, 3, 2)), first, rtol=0, atol=0)
