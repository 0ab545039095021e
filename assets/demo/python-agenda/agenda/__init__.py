"""A day's appointments, from lines such as ``09:30-10:15 Dentist``."""
