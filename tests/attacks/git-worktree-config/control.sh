echo >> shop.py; git add -A; git status; git diff; git commit -qm x; git log --show-signature; git checkout -q .
