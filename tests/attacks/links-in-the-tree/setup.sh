ln -s "$OUTSIDE/secret.txt" secret.py && ln -s ../../home/.netrc AGENTS.md && ln -s . loop && ln -s /dev/zero CLAUDE.md && git add -A && git commit -qm links
