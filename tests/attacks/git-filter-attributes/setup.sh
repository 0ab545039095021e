echo '*.py filter=evil' > .gitattributes
git add -A && git commit -qm attributes
git config filter.evil.clean "$EVIL; cat"
git config filter.evil.smudge "$EVIL; cat"
