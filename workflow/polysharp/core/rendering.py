"""The templates in polysharp/templates."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(name: str, autoescape: bool = False, **filters: Callable[..., str]) -> Template:
    """Return a template; undefined names in it are errors.

    Parameters
    ----------
    autoescape
        Whether inserted values are escaped for HTML.
    filters
        Filters for the template in addition to jinja2's own.
    """
    environment = Environment(
        loader=PackageLoader("polysharp"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
