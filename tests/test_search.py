"""Grid searches over fusion strategies, with and without a cache of the features."""

import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from smilefusion import DMarkerTransformer, make_fusion_pipeline

N_FOLDS = 2
STRATEGIES = ["concat", "film", "hadamard"]
FITS = []


class CountedMarkers(DMarkerTransformer):
    """D-Markers that count how often they are fitted."""

    def fit(self, X, y=None):
        FITS.append(len(X))
        return super().fit(X, y)


def search(smiles, memory=None, refit=False, scoring="neg_log_loss"):
    pipeline = make_fusion_pipeline(fps=25, memory=memory, random_state=0).set_params(
        features__deep__max_epochs=1,
        features__deep__embedding_dim=8,
        features__deep__n_frames=8,
        features__dmarker=CountedMarkers(fps=25),
        fusion__max_epochs=3,
        fusion__hidden_dim=8,
    )
    cv = StratifiedGroupKFold(N_FOLDS)
    grid = {"fusion__fusion": STRATEGIES}
    found = GridSearchCV(pipeline, grid, cv=cv, refit=refit, scoring=scoring)
    with sklearn.config_context(enable_metadata_routing=True):
        return found.fit(smiles.clips, smiles.target, groups=smiles.groups)


def test_search_with_memory_computes_features_once_per_fold_for_the_same_scores(smiles, tmp_path):
    scores, n_fits = [], []
    for memory in (str(tmp_path), None):
        FITS.clear()
        results = search(smiles, memory).cv_results_
        scores.append([results[f"split{k}_test_score"] for k in range(N_FOLDS)])
        n_fits.append(len(FITS))
    assert n_fits == [N_FOLDS, N_FOLDS * len(STRATEGIES)]
    np.testing.assert_array_equal(*scores)


def test_search_keeps_subjects_of_early_stopping_apart(smiles, tmp_path):
    splits = []

    def note_splits(pipeline, X, y):
        networks = pipeline.named_steps["features"]["deep"], pipeline.named_steps["fusion"]
        splits.append([network.split_ for network in networks])
        return 0.0

    search(smiles, str(tmp_path), scoring=note_splits)
    assert len(splits) == N_FOLDS * len(STRATEGIES)
    for deep, fusion in splits:
        assert not set(deep["train"]) & set(deep["early_stopping"])
        for part in ("train", "early_stopping"):
            np.testing.assert_array_equal(deep[part], fusion[part])


def test_refitted_search_predicts(smiles, tmp_path):
    found = search(smiles, str(tmp_path), refit=True)
    assert found.best_params_["fusion__fusion"] in STRATEGIES
    assert found.predict_proba(smiles.clips[:3]).shape == (3, 2)
