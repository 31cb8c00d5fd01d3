"""Grid searches over fusion strategies, with and without a cache of the features."""

import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from smilefusion import DMarkerTransformer, make_fusion_pipeline

N_FOLDS = 2
STRATEGIES = ["concat", "film"]
FITS = []


class CountedMarkers(DMarkerTransformer):
    """D-Markers that count how often they are fitted."""

    def fit(self, X, y=None):
        FITS.append(len(X))
        return super().fit(X, y)


def search(smiles, memory):
    pipeline = make_fusion_pipeline(fps=25, memory=memory, random_state=0).set_params(
        features__deep__max_epochs=1,
        features__deep__objective="supervised",
        features__deep__weights=None,
        features__deep__embedding_dim=8,
        features__deep__n_frames=8,
        features__dmarker=CountedMarkers(fps=25),
        fusion__max_epochs=3,
        fusion__hidden_dim=8,
    )
    cv = StratifiedGroupKFold(N_FOLDS)
    grid = {"fusion__fusion": STRATEGIES}
    found = GridSearchCV(pipeline, grid, cv=cv, refit=False, scoring="neg_log_loss")
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
