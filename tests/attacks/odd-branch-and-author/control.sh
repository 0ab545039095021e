git log -1 --format=%s | grep -q "$(printf "\033")" && "$EVIL"
