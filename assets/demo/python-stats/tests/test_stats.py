import unittest

from weather import Summary, mean, spread, summary, wind_chill


class MeanTest(unittest.TestCase):
    def test_mean_of_some(self):
        self.assertEqual(mean([1, 2, 6]), 3)

    def test_mean_of_none(self):
        with self.assertRaises(ValueError):
            mean([])


class SpreadTest(unittest.TestCase):
    def test_equal_readings_do_not_spread(self):
        self.assertEqual(spread([4, 4, 4]), 0)

    def test_spread(self):
        self.assertEqual(spread([2, 4, 4, 4, 5, 5, 7, 9]), 2)

    def test_summary(self):
        self.assertEqual(summary([1, 3]), Summary(1, 3, 2, 1))


class WindChillTest(unittest.TestCase):
    def test_warm_air_feels_as_it_is(self):
        self.assertEqual(wind_chill(20, 30), 20)

    def test_wind_makes_cold_air_colder(self):
        self.assertEqual(wind_chill(-10, 30), -19.5)


if __name__ == "__main__":
    unittest.main()
