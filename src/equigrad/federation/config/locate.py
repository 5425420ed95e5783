"""Where a key stands in a TOML text: line numbers for error messages.

Python's TOML reader gives values without lines. This scanner goes once over a text *that the reader
has accepted*, and notes the line of every key, table header and list entry; it checks nothing. Its
neighbour :mod:`equigrad.federation.config.problems` asks it for lines.
"""

import json
from bisect import bisect_right

__all__ = ["Path", "key_lines", "locate"]

Path = tuple[str | int, ...]

_BARE_END = "=.]}, \t\r\n#"


def locate(text: str, path: Path) -> int | None:
    """Return the 1-based line of ``path`` in ``text``, or of the nearest table around it.

    Parameters
    ----------
    text
        A valid TOML text.
    path
        Keys and list positions from the root, such as ``("party", 2, "label_noise")``.

    Returns
    -------
    int or None
        None if not even the first key of the path is in the text.
    """
    lines = key_lines(text)
    for size in range(len(path), 0, -1):
        if path[:size] in lines:
            return lines[path[:size]]
    return None


def key_lines(text: str) -> dict[Path, int]:
    """Return the 1-based line of every key path of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """Recursive descent over one text; ``at`` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._newlines = [i for i, c in enumerate(text) if c == "\n"]
        self._entries: dict[Path, int] = {}  # how many entries an array of tables has so far

    def document(self) -> None:
        base: Path = ()
        while self._skip_blank():
            if self.text.startswith("[", self.at):
                base = self._header()
            else:
                self._pair(base)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_blank(self) -> bool:
        """Go past white space, line ends and comments; False at the end of the text."""
        while self.at < len(self.text):
            if self._peek() == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self._peek().isspace() or self._peek() == "\ufeff":
                self.at += 1
            else:
                return True
        return False

    def _note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self._newlines, at - 1) + 1)

    def _header(self) -> Path:
        start = self.at
        of_list = self.text.startswith("[[", self.at)
        self.at += 2 if of_list else 1
        keys = self._keys()
        self.at += 2 if of_list else 1
        path: Path = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            self._note(path, start)
            if of_list and i == len(keys) - 1:
                self._entries[path] = self._entries.get(path, 0) + 1
            if path in self._entries:
                path = (*path, self._entries[path] - 1)
                self._note(path, start)
        return path

    def _keys(self) -> list[str]:
        """Read a dotted key; stop at the character after it."""
        keys = []
        while True:
            self._skip_blank()
            if self._peek() in "\"'":
                keys.append(self._string())
            else:
                start = self.at
                while self._peek() and self._peek() not in _BARE_END:
                    self.at += 1
                keys.append(self.text[start : self.at])
            self._skip_blank()
            if self._peek() != ".":
                return keys
            self.at += 1

    def _pair(self, base: Path) -> None:
        start = self.at
        path = base
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self.at += 1  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        if self._peek() == "[":
            self._list(path)
        elif self._peek() == "{":
            self._inline_table(path)
        elif self._peek() in "\"'":
            self._string()
        else:
            while self._peek() and self._peek() not in ",]}\r\n#":
                self.at += 1

    def _list(self, path: Path) -> None:
        self.at += 1
        position = 0
        while self._skip_blank() and self._peek() != "]":
            self._note((*path, position), self.at)
            self._value((*path, position))
            self._skip_blank()
            self.at += self._peek() == ","
            position += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip_blank() and self._peek() != "}":
            self._pair(path)
            self._skip_blank()
            self.at += self._peek() == ","
        self.at += 1

    def _string(self) -> str:
        """Read a string of any of the four kinds; stop after its closing quotes."""
        quote = self._peek()
        size = 3 if self.text.startswith(quote * 3, self.at) else 1
        start = self.at = self.at + size
        while self.at < len(self.text) and not self.text.startswith(quote * size, self.at):
            self.at += 2 if quote == '"' and self._peek() == "\\" else 1
        while size == 3 and self.text.startswith(quote, self.at + 3):
            self.at += 1  # up to two quotes may stand right before the closing three
        raw = self.text[start : self.at]
        self.at += size
        return _unescape(raw) if quote == '"' and size == 1 else raw


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw
    try:
        return str(json.loads(f'"{raw}"'))
    except ValueError:  # \UXXXXXXXX, which JSON lacks: such a key is found by its table's line
        return raw
