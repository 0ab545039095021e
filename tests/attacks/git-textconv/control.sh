echo >> shop.py; git diff; git diff --textconv; git log -p --ext-diff
