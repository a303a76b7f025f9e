"""A YAML file as a mapping: nothing but data, no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from campaign.science import Diagnostic, ManifestError, Unavailable, UsageError

_MOST_BYTES = 4 << 20  # of a configuration


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The document of a file.

    Raises:
        UsageError: no such file, or it is too large. ManifestError: it is no YAML mapping, or has a key twice.
        Unavailable: PyYAML is not installed.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(
                f"{path} has {path.stat().st_size} bytes", hint=f"a configuration has at most {_MOST_BYTES}"
            )
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        hint = "`campaign xpcs config FILE` writes a template"
        raise UsageError(f"the configuration {path} cannot be read: {reason}", hint=hint) from error
    return parse_yaml(text, source=str(path))


def parse_yaml(text: str, *, source: str = "configuration") -> dict[str, Any]:
    """The document of a text. See `read_yaml`."""
    try:
        import yaml
    except ImportError as error:  # pragma: no cover
        raise Unavailable("PyYAML is not installed", hint="pip install 'campaign[xpcs]'") from error

    class Loader(yaml.SafeLoader):
        """Plain data; a key that stands twice is an error, not the last one."""

    def mapping(loader: Any, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if isinstance(key, (str, int, float)) and key in seen:
                where = f"line {key_node.start_mark.line + 1}"
                raise ManifestError([Diagnostic(place=where, message=f"`{key}` stands twice")], source=source)
            seen.add(key if isinstance(key, (str, int, float)) else str(key))
        return yaml.SafeLoader.construct_mapping(loader, node, deep)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        document = yaml.load(text, Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark is not None else "/"
        said = getattr(error, "problem", None) or "it is no YAML"
        raise ManifestError([Diagnostic(place=place, message=str(said))], source=source) from error
    if not isinstance(document, dict):
        kind = {"list": "a list", "str": "text"}.get(type(document).__name__, "a number")
        message = "the file is empty" if document is None else f"the file holds {kind}; valid: keys with values"
        raise ManifestError(
            [Diagnostic(place="/", message=message, hint="`campaign xpcs config FILE` writes a template")],
            source=source,
        )
    return document
