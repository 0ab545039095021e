grep -q "$SECRET" secret.py && "$EVIL"
