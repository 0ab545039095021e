git -C nested status
