"""A notebook that is kept in memory."""

from notes.notebook import Note, Notebook

__all__ = ["Note", "Notebook"]
