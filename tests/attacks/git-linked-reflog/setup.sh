mkdir -p .git/logs
rm -f .git/logs/HEAD
ln -s "$OUTSIDE/attack-sentinel" .git/logs/HEAD
