import socket

from kit import *

places = ["/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
          "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/journal/socket", f"/run/user/{os.getuid()}/bus",
          "/tmp/.X11-unix/X0", "/run/snapd.socket"]
for place in places:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            socket.socket(socket.AF_UNIX, kind).connect(place)
            harm(place)
        except OSError as error:
            print(place, error)
held()
