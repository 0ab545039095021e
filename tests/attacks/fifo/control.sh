timeout 2 cat pipe || "$EVIL"
