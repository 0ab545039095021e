ls | grep -q "$(printf "\033")" && "$EVIL"
