import re
from typing import NamedTuple

_LINE = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)\s+(\S.*)")


class Entry(NamedTuple):
    """One appointment. Times are minutes after midnight; ``end`` is the first free minute."""

    start: int
    end: int
    title: str


def parse_line(line):
    """Reads one line. Raises ``ValueError`` if it is no appointment."""
    match = _LINE.fullmatch(line.strip())
    if not match:
        raise ValueError(f"not an appointment: {line!r}")
    start = int(match[1]) * 60 + int(match[2])
    end = int(match[3]) * 60 + int(match[4])
    if end <= start:
        raise ValueError(f"ends before it starts: {line!r}")
    return Entry(start, end, match[5].strip())


def format_minute(minute):
    """Writes a time of day: ``570`` becomes ``09:30``."""
    return f"{minute // 60:02}:{minute % 60:02}"
