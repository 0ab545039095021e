from kit import *

reaches("acct", b"/nonexistent/file")
