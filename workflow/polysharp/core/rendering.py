"""Texts from the templates in polysharp/templates."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(name: str, autoescape: bool = False, **filters: Callable[..., str]) -> Template:
    """Return a template, in which a name that is not given is an error.

    Parameters
    ----------
    autoescape
        Whether what is put in is escaped for HTML.
    filters
        Filters that the template uses beside jinja2's own.
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
