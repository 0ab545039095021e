git commit -q --allow-empty -m "$(printf 'sub\033]0;owned\007ject \342\200\256')" --author "$(printf 'A\033[31mB') <a@b>"
