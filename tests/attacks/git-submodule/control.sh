git -C library status; git submodule update
