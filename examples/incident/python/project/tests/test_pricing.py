import unittest

from shop.pricing import mean_price


class MeanPrice(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean_price([2, 4]), 3)
