git interpret-trailers --trailer evil=x shop.py; git checkout -qb other; echo "# 1" >> shop.py; git commit -qam 1; git checkout -q -; echo "# 2" >> shop.py; git commit -qam 2; git merge other
