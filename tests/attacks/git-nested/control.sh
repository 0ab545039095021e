git -C nested status
git -C nested checkout -q -b other
