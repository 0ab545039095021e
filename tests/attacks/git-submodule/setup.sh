git init -q "$OUTSIDE/library"
git -C "$OUTSIDE/library" commit -q --allow-empty -m x
git -c protocol.file.allow=always submodule add -q "$OUTSIDE/library" library
git commit -qm submodule
git config submodule.library.update "!$EVIL"
git --git-dir .git/modules/library config core.fsmonitor "$EVIL"
