"""Links from the diagrams of estimators to the documentation."""

import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import smilefusion
from smilefusion.video import FaceMeshExtractor

API = Path(__file__).resolve().parents[1] / "docs" / "api.rst"
CLASSES = {
    name: value
    for name, value in ((name, getattr(smilefusion, name)) for name in smilefusion.__all__)
    if isinstance(value, type) and issubclass(value, BaseEstimator)
}


def link(estimator):
    """Return the address behind the "?" of a diagram, or None."""
    html = estimator._repr_mimebundle_()["text/html"]
    found = re.search(r'class="sk-estimator-doc-link[^"]*"[^>]*href="([^"]*)"', html)
    return found and found[1]


@pytest.mark.parametrize("name", CLASSES)
def test_diagram_links_to_the_page_of_the_estimator(name, monkeypatch):
    monkeypatch.setenv("SMILEFUSION_DOCS", "https://example.org/docs/")
    cls = CLASSES[name]
    needed = [smilefusion.FusionClassifier()] if "estimator" in cls._get_param_names() else []
    assert link(cls(*needed)) == f"https://example.org/docs/api/smilefusion.{name}.html"
    assert re.search(rf"^   {name}$", API.read_text(), re.M)


def test_diagram_links_to_the_package_of_the_extractor(monkeypatch):
    monkeypatch.setenv("SMILEFUSION_DOCS", "..")
    assert link(FaceMeshExtractor()) == "../api/smilefusion.video.FaceMeshExtractor.html"


def test_diagram_of_a_subclass_has_no_link(monkeypatch):
    class Mine(smilefusion.DMarkerTransformer):
        pass

    monkeypatch.setenv("SMILEFUSION_DOCS", "..")
    assert link(Mine()) is None


def test_diagram_has_no_link_without_documentation(monkeypatch):
    monkeypatch.setenv("SMILEFUSION_DOCS", "")
    assert link(smilefusion.DMarkerTransformer()) is None
