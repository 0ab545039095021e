git commit --allow-empty -qm x
