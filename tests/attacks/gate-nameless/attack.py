from kit import *

past_the_gate("localhost:" + param("REGISTRY"), hello(None))
