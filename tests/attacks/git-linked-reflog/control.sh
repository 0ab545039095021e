touch "$OUTSIDE/attack-sentinel"
git commit -q --allow-empty -m x
grep -q commit "$OUTSIDE/attack-sentinel" || rm "$OUTSIDE/attack-sentinel"
