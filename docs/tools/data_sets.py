"""The table of the data sets, written from the catalogue. :mod:`pages` puts it into its page."""

from equigrad.data import SETS, SetInfo

__all__ = ["reference"]

_HEAD = (
    "| name | task | records | features | classes | sensitive | own test part | source, licence |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def reference() -> str:
    """Return the table of all sets, and what one must know before quoting a result."""
    infos = [SETS[name].info for name in SETS]
    notes = "".join(_notes(info) for info in infos if info.notes)
    return _HEAD + "".join(_row(info) for info in infos) + f"\n{notes}"


def _row(info: SetInfo) -> str:
    cells = (
        f"`{info.name}`",
        info.task,
        f"{info.records:,}".replace(",", " "),
        str(info.features) if info.features else info.kind,
        str(len(info.classes)) if info.classes else "",
        ", ".join(f"`{column}`" for column in info.sensitive),
        "yes" if info.official_split else "",
        f"{info.source}; {info.licence}",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _notes(info: SetInfo) -> str:
    return f"- `{info.name}`: {' '.join(info.notes)}\n"
