"""What numpy and scikit-learn say of a small data set: the golden of steering/src/estimate/.

    python3 scripts/golden_estimators.py

needs numpy and scikit-learn from PyPI and writes steering/tests/data/estimators.json: 24 pairs of width 6 in 8 groups,
as f32, and

  means, variances   numpy, over f64
  pca_difference     first right singular vector of the differences (numpy.linalg.svd), of either sign
  pca_centred        PCA's first component over the states of both classes, of either sign
  linear_probe       coefficients of LinearDiscriminantAnalysis(solver="lsqr"): its shrinkage s mixes (1 - s)S with
                     s tr(S)/d, so ours of t is its t / (1 + t)
  logistic_probe     LogisticRegression(fit_intercept=False) on (d, +) and (-d, -), coordinates divided by their root
                     mean square, for each C; its loss has every difference twice, so its C is half of ours
  auroc              roc_auc_score of the states' first coordinates, rounded so that there are ties
"""

import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

OUT = Path(__file__).resolve().parent.parent / "steering" / "tests" / "data" / "estimators.json"
PAIRS, WIDTH, GROUPS = 24, 6, 8
SHRINKAGES = [0.0, 0.1, 1.0]
STRENGTHS = [1e-3, 1e-2, 1e-1, 1.0, 1e1]


def states():
    rng = np.random.default_rng(20)
    scale = np.array([1.0, 0.2, 3.0, 1.0, 0.7, 10.0])
    centre = np.array([0.0, 1.0, -2.0, 0.5, 0.0, 40.0])
    shift = np.array([1.0, 0.1, -0.8, 0.6, 0.0, 2.0])
    shared = rng.standard_normal((PAIRS, WIDTH)) * scale
    own = lambda: rng.standard_normal((PAIRS, WIDTH)) * scale * 0.8
    positive = (centre + shared + own() + shift).astype(np.float32)
    negative = (centre + shared + own()).astype(np.float32)
    return positive, negative


def linear(both, labels, shrinkage):
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage / (1 + shrinkage))
    return model.fit(both, labels).coef_[0].tolist()


def logistic(differences, strength):
    scaled = differences / np.sqrt((differences**2).mean(axis=0))
    rows = np.concatenate([scaled, -scaled])
    labels = [1] * PAIRS + [0] * PAIRS
    model = LogisticRegression(C=strength / 2, fit_intercept=False, solver="newton-cholesky", tol=1e-12)
    return model.fit(rows, labels).coef_[0].tolist()


def main():
    positive, negative = states()
    p, n = positive.astype(np.float64), negative.astype(np.float64)
    both, labels = np.concatenate([p, n]), np.array([1] * PAIRS + [0] * PAIRS)
    coarse = np.round(both[:, 0] * 2) / 2
    golden = {
        "width": WIDTH,
        "positive": [float(x) for x in positive.ravel()],
        "negative": [float(x) for x in negative.ravel()],
        "groups": [int(i % GROUPS) for i in range(PAIRS)],
        "means": [p.mean(axis=0).tolist(), n.mean(axis=0).tolist()],
        "variances": [p.var(axis=0, ddof=1).tolist(), n.var(axis=0, ddof=1).tolist()],
        "pca_difference": np.linalg.svd(p - n)[2][0].tolist(),
        "pca_centred": PCA(n_components=1, svd_solver="full").fit(both).components_[0].tolist(),
        "linear_probe": [{"shrinkage": s, "read": linear(both, labels, s)} for s in SHRINKAGES],
        "logistic_probe": [{"strength": c, "weights": logistic(p - n, c)} for c in STRENGTHS],
        "auroc": {
            "positive": coarse[:PAIRS].tolist(),
            "negative": coarse[PAIRS:].tolist(),
            "value": float(roc_auc_score(labels, coarse)),
        },
    }
    OUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
