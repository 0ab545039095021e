mkdir -p ../outside && echo x > ../outside/victim && ln -s ../outside/victim notes
