mkdir a && echo x > a/x
