"""
Classify your own table
=======================

Can you fuse two groups of columns of any table, and which fusion strategy is best? You need a
pandas table, with a class and a person for each row. Missing values are allowed. This example
searches for the best strategy and estimates how well the chosen model works on new people.
"""

# %%
# The table
# ---------
# The columns of the first group describe the lips, those of the second group the eyelids. Here,
# the table comes from simulated smiles, and 5 % of its values are deleted. Read your own table
# with ``pandas.read_csv``. Rows of the same person are alike, so the splits below need to know the
# person of each row.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, FusionClassifier
from smilefusion.datasets import make_smiles
from smilefusion.inspection import FusionComparisonDisplay

smiles = make_smiles(160, n_subjects=40, fps=25, random_state=1)
describe = DMarkerTransformer(signals=("lip", "eyelid")).set_output(transform="pandas")
table = describe.fit_transform(smiles.clips)
table = table.mask(np.random.default_rng(0).random(table.shape) < 0.05)
labels = np.where(smiles.target == 1, "spontaneous", "posed")
people = smiles.groups
shown = ["lip__onset__duration", "lip__apex__max_amplitude", "eyelid__apex__mean_amplitude"]
table[shown].head(4).round(3)

# %%
# The model
# ---------
# ``deep`` and ``dmarker`` select the two groups. They accept names, positions or a selector. Most
# transformers return an array without names. ``set_output`` makes them return a table, so that the
# last step can still select columns by name. The scaler only shows where your own steps would go:
# `FusionClassifier` itself scales the columns and replaces missing values by the median.
classifier = FusionClassifier(
    deep=make_column_selector("^lip__"),
    dmarker=make_column_selector("^eyelid__"),
    hidden_dim=32,
    lr=0.001,
    max_epochs=20,
    random_state=0,
)
model = make_pipeline(StandardScaler(), classifier)
model.set_output(transform="pandas")

# %%
# Search for the best strategy
# ----------------------------
# With metadata routing, scikit-learn passes the people to the folds of the search and to the
# early stopping of the networks. No person is on both sides of a split.
sklearn.set_config(enable_metadata_routing=True)
strategies = ["concat", "hadamard", "attention"]
folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
search = GridSearchCV(
    model, {"fusionclassifier__fusion": strategies}, cv=folds, scoring="balanced_accuracy"
)
search.fit(table, labels, groups=people)

results = pd.DataFrame(search.cv_results_).rename(
    columns={
        "param_fusionclassifier__fusion": "strategy",
        "mean_test_score": "balanced accuracy",
        "std_test_score": "SD over folds",
    }
)
results = results.sort_values("balanced accuracy", ascending=False)
results[["strategy", "balanced accuracy", "SD over folds"]].round(3)

# %%
FusionComparisonDisplay.from_cv_results(search, title="grid search over strategies")
plt.show()

# %%
# Score the whole procedure on new people
# ---------------------------------------
# The best score of the search is too high, because the same folds chose the strategy. Therefore,
# the whole search is repeated on each training part of an outer cross-validation. The chosen model
# is tested on the people of the test part.
outer = cross_validate(
    search,
    table,
    labels,
    params={"groups": people},
    cv=StratifiedGroupKFold(3, shuffle=True, random_state=1),
    scoring="balanced_accuracy",
    return_estimator=True,
)
sklearn.set_config(enable_metadata_routing=False)
pd.DataFrame(
    {
        "chosen strategy": [
            each.best_params_["fusionclassifier__fusion"] for each in outer["estimator"]
        ],
        "score in the search": [each.best_score_ for each in outer["estimator"]],
        "score on new people": outer["test_score"],
    }
).rename_axis("fold").round(3)

# %%
# The answer
# ----------
# `FusionClassifier` works on any table with two groups of columns, with names and missing
# values. The scores of the strategies differ no more than those of the folds, so the choice is
# largely due to chance. With so few rows, a fixed strategy is as good as a search. Report the
# scores on new people, not the best score of the search.
