cd data && git status
