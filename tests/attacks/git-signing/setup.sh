git config commit.gpgsign true
git config tag.gpgsign true
git config gpg.program "$EVIL"
git config gpg.format openpgp
git config user.signingkey A
