"""The API as a typed program uses it; ``make lint`` checks this file with ``mypy --strict``."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from smilefusion import (
    DMarkerTransformer,
    FusionClassifier,
    HadaSmileNetClassifier,
    list_fusions,
    load_model,
    make_fusion_pipeline,
    save_model,
)
from smilefusion.benchmark import HonestProtocol, format_table, run_benchmark, summarize
from smilefusion.clips import ClipSequence, check_clips
from smilefusion.datasets import make_smiles
from smilefusion.inspection import FusionComparisonDisplay


def simulate(n_clips: int = 12) -> tuple[ClipSequence, np.ndarray, np.ndarray]:
    smiles = make_smiles(n_clips, n_subjects=6, fps=25, random_state=0)
    return check_clips(smiles.clips), smiles.target, smiles.groups


def small_classifier() -> HadaSmileNetClassifier:
    return HadaSmileNetClassifier(
        embedding_dim=8, hidden_dim=8, max_epochs=1, patience=None, random_state=0
    )


def test_clip_sequence_is_typed() -> None:
    clips, _, _ = simulate()
    first: np.ndarray = clips[0]
    half: ClipSequence = clips[: len(clips) // 2]
    rates: np.ndarray = half.fps
    assert first.ndim == 3
    assert len(half) == len(rates) == 6


def test_estimators_are_typed(tmp_path: Path) -> None:
    clips, y, groups = simulate()
    markers: np.ndarray = DMarkerTransformer().fit_transform(clips)
    fusion = FusionClassifier(list_fusions()[0], hidden_dim=8, max_epochs=1, random_state=0)
    probability: np.ndarray = fusion.fit(markers, y, groups=groups).predict_proba(markers)
    assert probability.shape == (12, 2)
    model = small_classifier().fit(clips, y, groups=groups)
    history: pd.DataFrame = model.history_
    assert len(history) == 1
    save_model(model, tmp_path / "model.smile")
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.smile").predict(clips), model.predict(clips)
    )


def test_benchmark_is_typed() -> None:
    smiles = make_smiles(24, n_subjects=12, fps=25, random_state=0)
    estimators = {"D-Markers": make_pipeline(DMarkerTransformer(), LogisticRegression())}
    predictions: pd.DataFrame = run_benchmark(estimators, smiles, protocol=HonestProtocol(), cv=3)
    scores: pd.DataFrame = summarize(predictions, n_resamples=10)
    text: str = format_table(scores)
    display: FusionComparisonDisplay = FusionComparisonDisplay(scores)
    assert "D-Markers" in text
    assert display is not None


def test_pipeline_is_typed() -> None:
    clips, y, groups = simulate()
    pipeline = make_fusion_pipeline("concat", random_state=0)
    pipeline.set_params(features__deep__max_epochs=1, fusion__max_epochs=1)
    y_predicted: np.ndarray = pipeline.fit(clips, y, groups=groups).predict(clips)
    assert y_predicted.shape == y.shape
