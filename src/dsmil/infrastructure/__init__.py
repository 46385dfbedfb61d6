"""The broker, the streams and the hot store: everything that touches a server or a file."""
