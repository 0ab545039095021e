from kit import *

reaches("open_by_handle_at", -1, 0, 0)
