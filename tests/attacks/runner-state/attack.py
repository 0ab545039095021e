from kit import *

folder = os.path.join(param("HOME"), ".local/state/regreen")
for place, _, names in os.walk(folder):
    for name in names:
        with open(os.path.join(place, name), "rb") as file:
            file.read(1)
            harm(file.name)
held("it is empty or not there")
