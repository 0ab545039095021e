mkfifo pipe && mkfifo test_pipe.py
