touch "$(printf 'a\033]0;owned\007b.py')" "$(printf 'c\033[2Jd.py')" "$(printf 'new\nline.py')" "$(printf 'e\342\200\256txt.py')" -- "--help" '$(id)' && git add -A && git commit -qm names
