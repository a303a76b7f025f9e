"""People's own code: a problem file with the modules that it imports, under names that nothing else has.

Every load of a problem file is a world of its own: its modules are called ``campaign_code_<n>.<module>``, and an
``import`` in one of them finds the others first. So two versions of a helper can live in one process, a helper that was
edited is read again, and a campaign's copy never meets the original. Own are modules beside the problem file and the
manifest, and those elsewhere that are neither installed nor part of Python: folders of PYTHONPATH, editable installs.
What was read is remembered with its hash.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import itertools
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from campaign import data
from campaign.errors import CampaignError, Damage
from campaign.store.kept import Kept, KeptCode, KeptFile, check_file, code_hash
from campaign.whose import is_own, shared_packages, usual_place

MARK = "campaign_code_"
OUTSIDE = "path-"  # path-0, path-1 …: folders of PYTHONPATH in a campaign's tree
_numbers = itertools.count()
_worlds: dict[str, OwnCode] = {}


class OwnCode:
    """A problem file and its modules.

    Attributes:
        name: the package that its modules are in.
        folder: of the manifest, or a campaign's tree.
        problem: name of the problem file in it.
        kept: what the campaign keeps of the code; None of an original.
        files: name → what was read of it: modules, and what they read while they were imported.
        built: problems that were built of it, by attribute and options.
        reads: what else was read then (`reads.Reads`).
    """

    def __init__(self, folder: Path, problem: str, kept: Kept | None = None) -> None:
        self.name = f"{MARK}{next(_numbers)}"
        self.folder = folder
        self.problem = problem
        self.kept = kept
        own = kept.code[problem] if kept is not None else None
        beside = PurePosixPath(problem).parent.as_posix()
        prefixes = own.roots if own is not None else tuple(dict.fromkeys((beside, ".")))
        self._roots: dict[Path, str] = {folder / prefix: prefix for prefix in prefixes}
        self.files: dict[str, KeptFile] = {}
        self.reads: Any = None
        if kept is not None and own is not None:
            self.files = {name: kept.files[name] for name in own.files}
        self.built: dict[Any, Any] = {}
        self._found: dict[str, ModuleSpec | None] = {}
        self._builtins = vars(builtins) | {"__import__": self._import}
        package = ModuleType(self.name)
        package.__path__ = [str(root) for root in self._roots]
        sys.modules[self.name] = package
        _worlds[self.name] = self
        importlib.invalidate_caches()  # a file may be younger than the listing of its folder
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)

    @property
    def path(self) -> Path:
        """Of the problem file."""
        return self.folder / self.problem

    @property
    def sha256(self) -> str:
        """The hash of the code that enters run ids."""
        return code_hash(self.problem, {name: file.sha256 for name, file in self.files.items()})

    @property
    def code(self) -> KeptCode:
        """What a campaign keeps of it."""
        roots = tuple(self._roots.values())
        return KeptCode(roots=roots, files={name: file.sha256 for name, file in self.files.items()})

    def is_current(self) -> bool:
        """Whether every file is still as it was read."""
        try:
            return all(data.sha256(file.source) == file.sha256 for file in self.files.values())
        except CampaignError:
            return False

    def module(self) -> ModuleType:
        """The problem file, imported. Whatever it raises comes through."""
        name = f"{self.name}.{self.path.stem.replace('.', '_')}"
        if name not in sys.modules:
            loader = _Loader(name, str(self.path), self, self.problem)
            spec = importlib.util.spec_from_file_location(name, self.path, loader=loader)
            module = importlib.util.module_from_spec(spec)  # pyright: ignore[reportArgumentType]
            sys.modules[name] = module
            try:
                loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]

    def reference(self, reference: str | Callable[..., Any]) -> Callable[..., Any]:
        """What ``"package.module:name"`` means to this code; a callable is returned as it is."""
        if callable(reference):
            return reference
        module, _, attribute = reference.partition(":")
        return getattr(self._import(module, fromlist=(attribute,)), attribute)

    def forget(self) -> None:
        """Drop the modules, after an import that failed."""
        _worlds.pop(self.name, None)
        for name in [n for n in sys.modules if n == self.name or n.startswith(f"{self.name}.")]:
            del sys.modules[name]

    def name_of(self, path: Path) -> str | None:
        """The name of a file that lies beside the code; None of one that lies elsewhere."""
        if path.is_relative_to(self.folder):
            return path.relative_to(self.folder).as_posix()
        outside = [root for root in self._roots if path.is_relative_to(root)]
        if not outside:
            return None
        root = max(outside, key=lambda root: len(root.parts))
        return f"{self._roots[root]}/{path.relative_to(root).as_posix()}"

    def place(self, name: str) -> Path:
        """The file of a name."""
        for root, prefix in self._roots.items():
            if prefix.startswith(OUTSIDE) and name.startswith(f"{prefix}/"):
                return root / name.removeprefix(f"{prefix}/")
        return self.folder / name

    def note(self, name: str, path: Path, content: bytes | None = None) -> None:
        """Remember a file that belongs to the code."""
        if self.kept is None and name not in self.files:
            sha256 = data.sha256(path) if content is None else hashlib.sha256(content).hexdigest()
            self.files[name] = KeptFile(source=path, sha256=sha256, content=content)

    def read(self, name: str, path: Path) -> bytes:
        """The source of a module.

        Raises:
            Damage: a copy that is not the one that was submitted.
        """
        if self.kept is not None:
            if name not in self.kept.files:
                raise Damage(f"{path} is not among the files that were submitted", hint="remove it")
            check_file(self.kept.files[name])
        content = path.read_bytes()
        self.note(name, path, content)
        return content

    def spec(self, full: str, path: Any) -> ModuleSpec | None:
        """Where a module of this world is."""
        parts = full.split(".")[1:]
        found = self._top(parts[0]) if len(parts) == 1 else PathFinder.find_spec(full, path)
        if found is None:
            return None
        if found.origin is None or not found.has_location:
            spec = ModuleSpec(full, None, is_package=True)
            spec.submodule_search_locations = list(found.submodule_search_locations or ())
            return spec
        origin = Path(found.origin)
        name = self._name_of_module(parts, origin, is_package=found.submodule_search_locations is not None)
        if isinstance(found.loader, ExtensionFileLoader):
            self.read(name, origin)
            loader: Any = ExtensionFileLoader(full, str(origin))
        else:
            loader = _Loader(full, str(origin), self, name)
        return importlib.util.spec_from_file_location(
            full, origin, loader=loader, submodule_search_locations=found.submodule_search_locations
        )

    def _name_of_module(self, parts: list[str], origin: Path, *, is_package: bool) -> str:
        root = (origin.parent if is_package else origin).parents[len(parts) - 1]
        if root not in self._roots:
            number = sum(prefix.startswith(OUTSIDE) for prefix in self._roots.values())
            is_inside = root.is_relative_to(self.folder)
            self._roots[root] = root.relative_to(self.folder).as_posix() if is_inside else f"{OUTSIDE}{number}"
        inner = [*(parts if is_package else parts[:-1]), origin.name]
        return str(PurePosixPath(self._roots[root], *inner))

    def _top(self, name: str) -> ModuleSpec | None:
        """Where a top-level module is, if it is people's own."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> ModuleSpec | None:
        if name in shared_packages():
            return None
        beside = PathFinder.find_spec(name, [str(root) for root in self._roots])
        if beside is not None and beside.has_location:
            return beside
        usual = usual_place(name)
        is_own_place = usual is not None and is_own(name, usual)
        if self.kept is None:
            return usual if is_own_place else beside if usual is None else None
        if is_own_place and beside is None:
            raise ModuleNotFoundError(
                f"`{name}` is not kept with the campaign: it was not imported when the problem was first built; import "
                f"it at the top of `{self.problem}` and submit again",
                name=name,
            )
        return beside if usual is None or is_own_place else None

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """`import` as modules of this world do it: their own come first."""
        try:
            if level or self._top(name.partition(".")[0]) is None:
                return builtins.__import__(name, globals, locals, fromlist, level)
            found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or ("__name__",), 0)
        except ImportError as error:
            error.msg = error.msg.replace(f"{self.name}.", "")
            raise
        return found if fromlist else sys.modules[f"{self.name}.{name.partition('.')[0]}"]


class _Loader(SourceFileLoader):
    """Compiles a module from the bytes that are remembered, never from bytecode, which is older than it looks."""

    def __init__(self, full: str, path: str, world: OwnCode, name: str) -> None:
        super().__init__(full, path)
        self._world, self._own_name = world, name

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self._world.read(self._own_name, Path(self.path)), self.path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._world._builtins
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Modules of all worlds, by the beginning of their names."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        world, _, rest = fullname.partition(".")
        return _worlds[world].spec(fullname, path) if rest and world in _worlds else None


_FINDER = _Finder()
