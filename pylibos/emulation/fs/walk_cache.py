"""The whole-path cache: text of a path -> where it leads, so that a repeated stat, open or access costs one dictionary look-up.

Results are kept per *domain* (root directory and file-system credentials, since search permission decides too) and per way of treating
a final symbolic link. A key is the path itself (absolute) or (directory, path). Only walks that stayed on cacheable volumes come here.
A value is a Location; ``inode`` None means ENOENT and is found again through the missing name.

Invalidation, called by whatever changes names (names.py, filesystem.py):
    forget_inode      the inode lost a name: every path that ended on it
    forget_name       a name appeared in a directory: every path that ended on its absence
    forget_directory  the directory was removed: every path that ended on an absence in it; paths with ".." in them
    forget_links      a symbolic link lost its name: every path that passed through any link
    clear             a directory moved, search permission changed, something was mounted: everything
What is published of the entries (published.py) is withdrawn with them. Bounded: CAPACITY entries, then everything is dropped. Must not
know what an inode is beyond its identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pylibos.emulation.fs.inode import Inode, Location
    from pylibos.emulation.fs.published import PublishedNames

Key = bytes | tuple["Inode", bytes]

CAPACITY: Final = 32768
"""Entries over all domains: about 10 MB; a walk that misses costs microseconds, so dropping everything is cheap."""


class Table(dict[Key, "Location"]):
    """Where paths lead in one domain, and in one way of treating a final link. ``number`` names it outside, and no other ever."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class WalkCache:
    """Paths already walked. ``published``: who must hear of every entry that is dropped."""

    def __init__(self) -> None:
        self.published: PublishedNames | None = None
        self._tables_made = 0
        self.domains: dict[Hashable, tuple[Table, Table]] = {}
        self.count = 0
        self._by_inode: dict[Inode, list[tuple[Table, Key]]] = {}
        self._by_missing: dict[Inode, dict[bytes, list[tuple[Table, Key]]]] = {}
        self._through_links: list[tuple[Table, Key]] = []
        self._through_parents: list[tuple[Table, Key]] = []

    def domain(self, key: Hashable) -> tuple[Table, Table]:
        """Tables (not following, following a final link) of a domain. They are emptied in place, so they may be held."""
        tables = self.domains.get(key)
        if tables is None:
            if len(self.domains) > 64:
                self.clear()
                self.domains.clear()
            made = self._tables_made = self._tables_made + 2
            tables = self.domains[key] = (Table(made - 1), Table(made))
        return tables

    def add(self, table: Table, key: Key, location: Location, through_links: bool, through_parents: bool) -> None:
        """Remember where key leads."""
        if self.count >= CAPACITY:
            self.clear()
        self.count += 1
        table[key] = location
        place = (table, key)
        if location.inode is not None:
            self._by_inode.setdefault(location.inode, []).append(place)
        else:
            self._by_missing.setdefault(location.parent, {}).setdefault(location.name, []).append(place)
        if through_links:
            self._through_links.append(place)
        if through_parents:
            self._through_parents.append(place)

    def forget_inode(self, inode: Inode) -> None:
        """Drop every path that ended on inode."""
        places = self._by_inode.pop(inode, None)
        if places is not None:
            self._drop(places)

    def forget_name(self, directory: Inode, name: bytes) -> None:
        """Drop every path that ended on the absence of name."""
        names = self._by_missing.get(directory)
        if names is not None:
            places = names.pop(name, None)
            if places is not None:
                self._drop(places)

    def forget_directory(self, directory: Inode) -> None:
        """The directory is gone."""
        self.forget_inode(directory)
        for places in self._by_missing.pop(directory, {}).values():
            self._drop(places)
        self._drop(self._through_parents)

    def forget_links(self) -> None:
        """Drop every path that passed through a symbolic link."""
        self._drop(self._through_links)

    def clear(self) -> None:
        """Drop everything."""
        for tables in self.domains.values():
            tables[0].clear()
            tables[1].clear()
        self.count = 0
        self._by_inode.clear()
        self._by_missing.clear()
        self._through_links.clear()
        self._through_parents.clear()
        if self.published is not None:
            self.published.clear()

    def _drop(self, places: list[tuple[Table, Key]]) -> None:
        published = self.published
        for table, key in places:
            if table.pop(key, None) is not None and published is not None:
                published.forget(table, key)
        places.clear()
