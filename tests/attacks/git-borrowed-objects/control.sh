if git cat-file -e "$(printf 'of another project' | git hash-object --stdin)"; then touch "$OUTSIDE/attack-sentinel"; fi
