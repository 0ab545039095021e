import unittest

from agenda.day import Day
from agenda.parsing import Entry, parse_line


class ParsingTest(unittest.TestCase):
    def test_a_line(self):
        self.assertEqual(parse_line(" 09:30-10:15  Dentist "), Entry(570, 615, "Dentist"))

    def test_nonsense_is_refused(self):
        for line in ["", "Dentist", "9:30-10:15 Dentist", "10:15-09:30 Dentist"]:
            with self.assertRaises(ValueError):
                parse_line(line)


class DayTest(unittest.TestCase):
    def test_entries_are_sorted(self):
        day = Day("14:00-15:00 Review\n\n09:30-10:15 Dentist\n")
        self.assertEqual([entry.title for entry in day.entries], ["Dentist", "Review"])

    def test_overlaps_are_found(self):
        day = Day("09:00-10:00 A\n09:59-11:00 B\n11:00-12:00 C\n")
        self.assertEqual([(one.title, other.title) for one, other in day.conflicts()], [("A", "B")])

    def test_the_first_gap(self):
        day = Day("08:15-10:00 A\n10:30-12:00 B\n")
        self.assertEqual(day.first_gap(15), "08:00")
        self.assertEqual(day.first_gap(30), "10:00")
        self.assertEqual(day.first_gap(60), "12:00")

    def test_a_full_day_has_no_gap(self):
        self.assertIsNone(Day("08:00-18:00 Fair\n").first_gap(1))


if __name__ == "__main__":
    unittest.main()
