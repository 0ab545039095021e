git init -q "$OUTSIDE/neighbour"
printf 'of another project' | git -C "$OUTSIDE/neighbour" hash-object -w --stdin
mkdir -p .git/objects/info
echo "$OUTSIDE/neighbour/.git/objects" > .git/objects/info/alternates
