from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """A title and a text."""

    title: str
    text: str = ""


class Notebook:
    """Notes in the order in which they were added."""

    def __init__(self):
        self._notes = []

    def __len__(self):
        return len(self._notes)

    def __iter__(self):
        return iter(self._notes)

    def add(self, title, text=""):
        """Adds a note and returns it. Raises ``ValueError`` without a title."""
        if not title.strip():
            raise ValueError("a note needs a title")
        note = Note(title.strip(), text)
        self._notes.append(note)
        return note

    def search(self, word):
        """The notes that contain a word, in title or text, in any case."""
        word = word.casefold()
        return [note for note in self._notes if word in f"{note.title}\n{note.text}".casefold()]
