from attack import *

reaches("acct", b"/nonexistent/file")
