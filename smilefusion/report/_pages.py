"""Render report pages from templates."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from smilefusion._messages import count


def render_page(template: str, **values: Any) -> str:
    """Render a template; values are escaped unless they are marked as safe."""
    environment = Environment(
        loader=PackageLoader("smilefusion.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    return environment.get_template(template).render(values)
