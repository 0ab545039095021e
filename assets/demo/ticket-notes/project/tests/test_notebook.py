import unittest

from notes import Note, Notebook


class NotebookTest(unittest.TestCase):
    def setUp(self):
        self.book = Notebook()

    def test_a_note_is_added(self):
        self.assertEqual(self.book.add(" Milk ", "two bottles").title, "Milk")
        self.assertEqual(len(self.book), 1)

    def test_a_title_is_needed(self):
        with self.assertRaises(ValueError):
            self.book.add("  ")

    def test_notes_stay_in_order(self):
        self.book.add("b")
        self.book.add("a")
        self.assertEqual([note.title for note in self.book], ["b", "a"])

    def test_search_looks_in_title_and_text(self):
        milk = self.book.add("Milk", "two bottles")
        bread = self.book.add("Bread", "and MILK again")
        self.book.add("Salt")
        self.assertEqual(self.book.search("milk"), [milk, bread])


if __name__ == "__main__":
    unittest.main()
