from agenda.parsing import format_minutes, parse_line


class Day:
    """The appointments of one day, in order."""

    def __init__(self, text=""):
        lines = (line for line in text.splitlines() if line.strip())
        self.entries = sorted(parse_line(line) for line in lines)

    def conflicts(self):
        """Pairs of neighbouring appointments that overlap."""
        pairs = zip(self.entries, self.entries[1:])
        return [(one, other) for one, other in pairs if other.start < one.end]

    def first_gap(self, minutes, opens=8 * 60, closes=18 * 60):
        """The first time from which so many minutes are free, such as ``09:30``, or ``None``."""
        free = opens
        for entry in self.entries:
            if entry.start - free >= minutes:
                break
            free = max(free, entry.end)
        return format_minute(free) if closes - free >= minutes else None
