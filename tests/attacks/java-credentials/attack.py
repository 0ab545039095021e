from kit import *

read_any(".m2/settings.xml", ".gradle/gradle.properties")
